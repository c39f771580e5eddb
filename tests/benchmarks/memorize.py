"""Memorizing: how many turns a second become durable, embedded and searchable, and how soon one can be found.

Everything goes through the public ``AsyncMemory``, without a language model: 50 conversations of 100 turns for ten
users, eight at a time; then single messages, one after another, into the memory that this has filled. Each round
is a process of its own with an empty data directory, so that the first use of the model is part of the time.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections import deque
from statistics import median
from typing import Any, NamedTuple

from dialogue import conversations, sentence
from measure import (
    Bar,
    arguments,
    children_rss_mb,
    in_fresh_processes,
    medians,
    peak_rss_mb,
    percentile,
    positive,
    report,
)

from memstream import AsyncMemory, AsyncUser

BARS = (Bar("turns_per_s", "least", 1_000), Bar("visible_p95_ms", "most", 150), Bar("peak_rss_mb", "most", 700))
_SEED = 20_261
_TIMEOUT = 300.0
# Every so many single messages are also asked for.
_SAMPLED = 10


class Load(NamedTuple):
    """How much is memorized: conversations of so many turns, for so many users, so many at once; then singles."""

    conversations: int
    turns: int
    users: int
    concurrency: int
    singles: int


async def fill(memory: AsyncMemory, load: Load) -> float:
    """Memorize all conversations and wait until each can be retrieved; return the seconds that it took."""
    # Made before the clock starts: inventing sentences is not memorizing them.
    waiting = deque(enumerate(list(conversations(_SEED, load.conversations, load.turns))))

    async def work() -> None:
        while waiting:
            number, messages = waiting.popleft()
            await memory.user(_user(number % load.users)).memorize(messages, wait=True, timeout=_TIMEOUT)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(load.concurrency):
            tasks.create_task(work())
    return time.perf_counter() - started


async def settle(memory: AsyncMemory, load: Load) -> float:
    """Wait until the category files have caught up, too; return the seconds that it took."""
    started = time.perf_counter()
    for number in range(load.users):
        await memory.user(_user(number)).settle(timeout=_TIMEOUT)
    return time.perf_counter() - started


async def visible(memory: AsyncMemory, load: Load) -> dict[str, float]:
    """Memorize single messages one after another; return how long each took and how many of a sample were found."""
    source, taken, found = random.Random(_SEED + 1), list[float](), list[bool]()
    for number in range(load.singles):
        user, text = memory.user(_user(number % load.users)), sentence(source)
        started = time.perf_counter()
        made = await user.memorize([_message(number, text)], wait=True, timeout=_TIMEOUT)
        taken.append(1_000 * (time.perf_counter() - started))
        if number % _SAMPLED == 0:
            found.append(await is_found(user, text, made.resource.id))
    return {
        "visible_p50_ms": round(median(taken), 3),
        "visible_p95_ms": round(percentile(taken, 95), 3),
        "visible_max_ms": round(max(taken), 3),
        "found_share": sum(found) / len(found),
    }


async def is_found(user: AsyncUser, text: str, resource_id: str) -> bool:
    """Ask for the text; tell whether an item of that resource comes back."""
    answer = await user.retrieve(text, exhaustive=True)
    return any(source.resource_id == resource_id for hit in answer.items for source in hit.sources)


async def run(load: Load) -> dict[str, float]:
    """Measure one round in this process."""
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        started = time.perf_counter()
        async with await AsyncMemory.open(root) as memory:
            opened = time.perf_counter() - started
            seconds = await fill(memory, load)
            settled = await settle(memory, load)
            figures = await visible(memory, load)
            counts = [await memory.user(_user(number)).counts() for number in range(load.users)]
            server = children_rss_mb()
    return {
        "turns_per_s": round(load.conversations * load.turns / seconds, 1),
        **figures,
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "server_rss_mb": round(server, 1),
        "open_s": round(opened, 3),
        "settle_s": round(settled, 3),
        "items": sum(one.items for one in counts),
        "parked": sum(one.parked for one in counts),
    }


def _user(number: int) -> str:
    return f"user-{number}"


def _message(number: int, text: str) -> dict[str, Any]:
    return {"role": "user", "content": text, "id": f"single:{number}"}


def _options() -> argparse.Namespace:
    examples = [
        "python tests/benchmarks/memorize.py",
        "python tests/benchmarks/memorize.py --rounds 1 --conversations 10 --json",
    ]
    parser = arguments(__doc__ or "", examples)
    parser.add_argument("--rounds", type=positive, default=3, help="processes of which the medians are taken")
    parser.add_argument("--conversations", type=positive, default=50, help="conversations to memorize (default 50)")
    parser.add_argument("--turns", type=positive, default=100, help="turns of each conversation (default 100)")
    parser.add_argument("--users", type=positive, default=10, help="users that they belong to (default 10)")
    parser.add_argument("--concurrency", type=positive, default=8, help="conversations in work at once (default 8)")
    parser.add_argument("--singles", type=positive, default=100, help="single messages afterwards (default 100)")
    return parser.parse_args()


def main() -> None:
    """Read the options, measure, report."""
    options = _options()
    load = Load(options.conversations, options.turns, options.users, options.concurrency, options.singles)
    if options.rounds == 1:
        figures = asyncio.run(run(load))
    else:
        again = [part for name, value in load._asdict().items() for part in (f"--{name}", str(value))]
        figures = medians(in_fresh_processes(__file__, again, options.rounds))
    title = f"memorize: {load.conversations * load.turns:,} turns, medians of {options.rounds} processes"
    report(title, figures | {"rounds": options.rounds}, BARS, as_json=options.json)


if __name__ == "__main__":
    main()
