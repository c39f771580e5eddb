"""A large memory evolves: one user's 20,000 statements and 20,000 recorded retrievals, from the projection to the plan.

A history of synthetic events is projected, with a retrieval for each statement that was served nine others beside it and
used it and, every second time, the one behind it. Then a process of its own loads what evolution knows and works a run
out: ``seconds`` is both together, ``load_seconds`` the loading alone, ``peak_rss_mb`` the most memory of that process.
``floor_ratio`` is ``seconds`` over the time of scoring every question against every statement once, in bare numpy.
"""

import argparse
import asyncio
import base64
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
from history import SPACE, History, scope_of
from measure import Bar, arguments, figures_of, peak_rss_mb, positive, report, temporary_server

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.log import EventLog
from memstream.events.types import Event
from memstream.evolution.evidence import Evidence
from memstream.evolution.loading import load
from memstream.evolution.policy import policy_named
from memstream.evolution.run import evolve
from memstream.projections.apply import space_name
from memstream.projections.live import Projection, open_stores
from memstream.projections.rebuild import Rebuild

_SEED, _APPENDED, _SERVED, _ITEMS_A_RESOURCE = 20_269, 4_000, 10, 20
BARS = (Bar("seconds", "most", 60), Bar("peak_rss_mb", "most", 1_024))


def used(statements: list[tuple[str, str]], count: int) -> Iterator[list[Event]]:
    """Yield the events of each retrieval: what was served, the question's vector, what was used."""
    chance, vectors = random.Random(_SEED), np.random.default_rng(_SEED)
    scope = scope_of(0)
    for number in range(count):
        place = chance.randrange(len(statements) - 1)
        behind = [statements[place + 1][0]] if number % 2 else []
        wanted = [statements[place][0], *behind]
        others = [one for one, _ in chance.sample(statements, _SERVED) if one not in wanted]
        hits = tuple(p.ServedHit(id=one, score=1.0) for one in [*wanted, *others][:_SERVED])
        asked = " ".join(chance.sample(statements[place][1].split(), 6))
        data = p.RetrievalServedData(
            retrieval_id=f"r{number}",
            method="rag",
            original_query=asked,
            rewritten_query=asked,
            needs_retrieval=True,
            top_k=_SERVED,
            tiers=(p.ServedTier(layer="item", hits=hits),),
            as_of=0,
            latency_ms=1.0,
        )
        served = t.RetrievalServed.of(scope, data)
        half = vectors.standard_normal(SPACE.dimension, np.float32).astype("<f2")
        vector = p.Embedded(layer="query", id=data.retrieval_id, vector=base64.b64encode(half.tobytes()).decode())
        yield [
            served,
            t.VectorsEmbedded.of(scope, p.VectorsEmbeddedData(space=SPACE, vectors=(vector,)), cause=served),
            t.FeedbackGiven.of(scope, p.FeedbackGivenData(retrieval_id=data.retrieval_id, used=tuple(wanted))),
        ]


async def build(root: Path, items: int, retrievals: int) -> None:
    """Project the history into the stores of a directory."""
    statements: list[tuple[str, str]] = []
    waiting: list[Event] = []
    async with temporary_server() as server, await EventLog.open(server.url) as log:

        async def write(events: list[Event], *, last: bool = False) -> None:
            waiting.extend(events)
            if last or len(waiting) >= _APPENDED:
                await log.append_many(waiting, split=True)
                waiting.clear()

        for events in History(1).resources(items // _ITEMS_A_RESOURCE):
            found = [event for event in events if isinstance(event, t.ItemsExtracted)]
            statements += [(item.id, item.text) for event in found for item in event.data.items]
            await write(events)
        for events in used(statements, retrievals):
            await write(events)
        await write([], last=True)
        ledger, index = await open_stores(root)
        try:
            await Rebuild(log, ledger, index).run((await log.state()).last_position)
        finally:
            index.close()
            ledger.close()


async def work_out(root: Path) -> dict[str, float]:
    """Load what evolution knows, and work a run out."""
    policy = policy_named("default")
    ledger, index = await open_stores(root)
    try:
        started = time.perf_counter()
        at = cast("Projection", argparse.Namespace(ledger=ledger, index=index))
        latest = policy.settings.retrievals
        structure, evidence = await load(at, scope_of(0), space_name(SPACE), latest=latest)
        loaded = time.perf_counter()
        run = evolve(structure, evidence, policy)
        seconds = time.perf_counter() - started
    finally:
        index.close()
        ledger.close()
    peak = peak_rss_mb()
    return {
        "seconds": round(seconds, 2),
        "load_seconds": round(loaded - started, 2),
        "peak_rss_mb": round(peak, 1),
        "floor_ratio": round(seconds / _scored_once(evidence), 1),
        "statements": len(evidence.facts),
        "retrievals": len(evidence.retrievals),
        "tried": len(run.tried),
        "accepted": len(run.accepted),
    }


def _scored_once(evidence: Evidence) -> float:
    started = time.perf_counter()
    for one in evidence.retrievals:
        scores = evidence.facts.vectors @ one.vector
        np.argpartition(-scores, _SERVED)
    return time.perf_counter() - started


def main() -> None:
    """Read the options, build, measure, report."""
    parser = arguments(
        __doc__ or "", ["python tests/benchmarks/evolving.py", "python tests/benchmarks/evolving.py --json"]
    )
    parser.add_argument("--items", type=positive, default=20_000, help="statements of the memory (default 20,000)")
    parser.add_argument("--retrievals", type=positive, default=20_000, help="recorded retrievals (default 20,000)")
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.data:
        report("", asyncio.run(work_out(options.data)), as_json=True)
        return
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        asyncio.run(build(Path(root), options.items, options.retrievals))
        figures = figures_of([sys.executable, __file__, "--data", root])
    report("one evolution run", figures, BARS, as_json=options.json)


if __name__ == "__main__":
    main()
