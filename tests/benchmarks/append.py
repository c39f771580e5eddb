"""Appending: our durable appends against a bare nats-py loop that does the same with nothing around it.

Both write the same kind of events, as the same bytes with the same headers, into the same stream of one server
that syncs every append. They take turns, and a ratio is the median of the rounds' own ratios, so that whatever
else the machine does falls on both.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

import nats
from measure import Bar, arguments, medians, positive, report, temporary_server
from nats.aio.client import Client
from nats.js import JetStreamContext

from memstream.events.ids import new_id
from memstream.events.log import EventLog
from memstream.events.payloads import RetrievalServedData, ServedHit, ServedTier, Usage
from memstream.events.subjects import Scope
from memstream.events.types import RetrievalServed

BARS = (Bar("batch_ratio", "least", 0.7), Bar("single_p50_ratio", "most", 1.5))
BATCH = 1_000
_TENTH = 10

Events = list[RetrievalServed]


def served_events(number: int) -> Events:
    """Return fresh events of 600 to 900 bytes: what a retrieval leaves in the log."""
    return [_served(Scope("default", f"user-{place % _TENTH}"), place) for place in range(number)]


def _served(scope: Scope, place: int) -> RetrievalServed:
    hits = tuple(ServedHit(id=new_id(), score=round(0.9 - 0.1 * rank, 4)) for rank in range(1 + place % 5))
    question = f"Where did we put the tent after the trip to the lake, and who took number {place}?"
    data = RetrievalServedData(
        retrieval_id=new_id(),
        method="rag",
        original_query=question,
        rewritten_query=question,
        needs_retrieval=True,
        top_k=10,
        tiers=(ServedTier(layer="item", hits=hits),),
        sufficient_at="item",
        as_of=place,
        latency_ms=12.5,
        usage=Usage(seconds=0.0125),
    )
    return RetrievalServed.of(scope, data, correlation=new_id())


async def append_pipelined(log: EventLog, events: Events) -> float:
    """Append through the log as a pipeline of atomic batches; return the seconds that it took."""
    started = time.perf_counter()
    await log.append_many(events, split=True)
    return time.perf_counter() - started


async def append_bare(nc: Client, events: Events) -> float:
    """Append as atomic batches, one after another, with nats-py alone; encoded before the clock starts."""
    messages = [(event.subject, event.encode(), event.id) for event in events]
    started = time.perf_counter()
    for start in range(0, len(messages), BATCH):
        await _bare_batch(nc, messages[start : start + BATCH])
    return time.perf_counter() - started


async def _bare_batch(nc: Client, messages: Sequence[tuple[str, bytes, str]]) -> None:
    batch, last = new_id(), len(messages)
    for sequence, (subject, body, identifier) in enumerate(messages, start=1):
        headers = {"Nats-Msg-Id": identifier, "Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(sequence)}
        if sequence < last:
            await nc.publish(subject, body, headers=headers)
            continue
        reply = await nc.request(subject, body, timeout=10, headers=headers | {"Nats-Batch-Commit": "1"})
        answer = json.loads(reply.data)
        assert answer.get("count") == last, answer


async def single_p50(append: Callable[[RetrievalServed], Awaitable[object]], events: Events) -> float:
    """Append one awaited event after another; return the median in milliseconds."""
    taken: list[float] = []
    for event in events:
        started = time.perf_counter()
        await append(event)
        taken.append(1_000 * (time.perf_counter() - started))
    return median(taken)


def bare_single(js: JetStreamContext) -> Callable[[RetrievalServed], Awaitable[object]]:
    """Return a publisher of one event that encodes as ours does and does nothing else."""

    async def publish(event: RetrievalServed) -> object:
        return await js.publish(event.subject, event.encode(), headers={"Nats-Msg-Id": event.id})

    return publish


async def one_round(log: EventLog, nc: Client, events: int, singles: int, *, ours_first: bool) -> dict[str, float]:
    """Measure both once, in the given order."""
    publish, taken = bare_single(nc.jetstream()), {}
    for ours in (ours_first, not ours_first):
        fresh, few = served_events(events), served_events(singles)
        seconds = await (append_pipelined(log, fresh) if ours else append_bare(nc, fresh))
        taken[ours] = (events / seconds, await single_p50(log.append if ours else publish, few))
    (rate, p50), (bare_rate, bare_p50) = taken[True], taken[False]
    return {
        "batch_ratio": rate / bare_rate,
        "single_p50_ratio": p50 / bare_p50,
        "events_per_s": rate,
        "bare_events_per_s": bare_rate,
        "single_p50_ms": p50,
        "bare_single_p50_ms": bare_p50,
    }


async def run(rounds: int, events: int, singles: int) -> dict[str, float]:
    """Run the rounds against one server, after one to warm up; return the medians."""
    async with temporary_server() as server, await EventLog.open(server.url) as log:
        nc = await nats.connect(server.url)
        try:
            await one_round(log, nc, BATCH, singles // _TENTH + 1, ours_first=True)
            measured = [
                await one_round(log, nc, events, singles, ours_first=number % 2 == 0) for number in range(rounds)
            ]
        finally:
            await nc.close()
    sizes = [len(event.encode()) for event in served_events(BATCH)]
    return medians(measured) | {"event_bytes": round(sum(sizes) / len(sizes)), "rounds": rounds}


def main() -> None:
    """Read the options, measure, report."""
    examples = ["python tests/benchmarks/append.py", "python tests/benchmarks/append.py --rounds 3 --json"]
    parser = arguments(__doc__ or "", examples)
    parser.add_argument("--rounds", type=positive, default=9, help="rounds of which the medians are taken (default 9)")
    parser.add_argument("--events", type=positive, default=10_000, help="events appended in bulk per round")
    parser.add_argument("--singles", type=positive, default=300, help="events appended one by one per round")
    options = parser.parse_args()
    figures = asyncio.run(run(options.rounds, options.events, options.singles))
    report(f"append: medians of {options.rounds} rounds", figures, BARS, as_json=options.json)


if __name__ == "__main__":
    main()
