"""Replay: how fast a projection is rebuilt from a long log, and how it answers and restarts then.

A generated log of 200,000 items with vectors, for 1,000 users, is replayed by a fresh process into an empty DuckDB
and LanceDB. ``ceiling_ratio`` is the time in which a bare nats-py ordered consumer reads the same messages, only
counting them, over the time of the replay: what share of a replay reading alone would take. ``linear_ratio`` is the
time per item of the whole log over that of its first quarter; with ``--full`` of a log five times as long over that
of the usual one. ``as_of_ratio`` is the median time of a question about the middle of the log over that of one about
its end. ``restart_s`` begins before the server is started and ends when the intact projection is at the log's end.
"""

import argparse
import asyncio
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import nats
import numpy as np
from history import ITEMS, SPACE, Marks, fill, scope_of
from measure import Bar, arguments, peak_rss_mb, percentile, positive, print_json, report
from nats.aio.msg import Msg

from memstream.events.datadir import DataDirectory
from memstream.events.log import EventLog
from memstream.events.server import EmbeddedServer
from memstream.projections.apply import space_name
from memstream.projections.ledger import Ledger
from memstream.projections.live import Projection, open_stores
from memstream.projections.question import Question
from memstream.projections.rebuild import Rebuild
from memstream.projections.recall import Recall

BARS = (
    Bar("items_per_s", "least", 20_000),
    Bar("linear_ratio", "most", 1.3),
    Bar("peak_rss_mb", "most", 1_500),
    Bar("as_of_ratio", "most", 2),
    Bar("restart_s", "most", 3),
    Bar("snapshot_restart_s", "most", 10),
)
_SEED = 20_263
_ASKED, _WORDS = 100, 6
_SHARE, _FULL = 4, 5
_TIMEOUT = 60.0
_APPLIERS, _TAIL = 2, 10_000
_PROJECTION = "projection"

Figures = dict[str, float]


async def read_bare(server: str, until: int) -> Figures:
    """Count the messages up to a position with an ordered consumer's callback; return the seconds that it took."""
    nc, done, count = await nats.connect(server), asyncio.Event(), 0

    async def counted(message: Msg) -> None:
        nonlocal count
        count += 1
        if message.metadata.sequence.stream == until:
            done.set()

    try:
        started = time.perf_counter()
        await nc.jetstream().subscribe("memstream.>", cb=counted, ordered_consumer=True)
        await done.wait()
        return {"read_s": time.perf_counter() - started, "messages": count}
    finally:
        await nc.close()


async def replay(server: str, directory: Path, until: int) -> Figures:
    """Rebuild the log up to a position into empty stores; return the seconds per item and the memory it took."""
    shutil.rmtree(directory, ignore_errors=True)
    async with await EventLog.open(server) as log:
        ledger, index = await open_stores(directory)
        try:
            started = time.perf_counter()
            rebuilt = await Rebuild(log, ledger, index).run(until)
            seconds = time.perf_counter() - started
        finally:
            index.close()
            ledger.close()
    # The processes that apply events are two, and the largest one's peak is all that is told of them.
    applied = _APPLIERS * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1_024
    return {"items": rebuilt.items, "replay_s": seconds, "peak_rss_mb": round(peak_rss_mb() + applied, 1)}


async def behind(server: str, directory: Path, until: int) -> Figures:
    """Start from a snapshot that lacks the log's last 10,000 events; return the seconds until they are applied."""
    await replay(server, directory, until - _TAIL)
    started = time.perf_counter()
    async with await EventLog.open(server) as log:
        projection = await Projection.open(log, directory)
        await projection.projector.start()
        await projection.projector.wait_for(until, timeout=_TIMEOUT)
        seconds = time.perf_counter() - started
        await projection.close()
    return {"snapshot_restart_s": seconds}


async def ask(directory: Path, users: int) -> Figures:
    """Ask a sample of users about now and about the middle of the log; return the medians in milliseconds."""
    ledger, index = await open_stores(directory)
    try:
        recall, end, taken = Recall(ledger, index), ledger.position, dict[bool, list[float]]({True: [], False: []})
        first = list[float]()
        source, vectors = random.Random(_SEED), np.random.default_rng(_SEED)
        for number in range(_ASKED):
            scope = scope_of(source.randrange(users))
            text = _question(ledger, scope.key, source)
            vector = vectors.standard_normal(SPACE.dimension, np.float32)
            # A user's memory is loaded by the first question about it, whatever moment that asks about.
            started = time.perf_counter()
            await recall.answer(scope, Question(text, space_name(SPACE), vector, (end // 2, end)[number % 2]))
            first.append(1_000 * (time.perf_counter() - started))
            # In turns, so that neither always finds what the other one has brought into memory.
            for past in (number % 2 == 0, number % 2 == 1):
                moment = end // 2 if past else end
                question = Question(text, space_name(SPACE), vector, moment)
                started = time.perf_counter()
                await recall.answer(scope, question)
                taken[past].append(1_000 * (time.perf_counter() - started))
    finally:
        index.close()
        ledger.close()
    return {
        "as_of_ratio": median(taken[True]) / median(taken[False]),
        "as_of_p50_ms": median(taken[True]),
        "present_p50_ms": median(taken[False]),
        "present_p95_ms": percentile(taken[False], 95),
        "first_p50_ms": median(first),
    }


def _question(ledger: Ledger, scope: str, source: random.Random) -> str:
    """Return some words of one of the user's items."""
    texts = ledger.rows("SELECT text FROM items WHERE scope = ? ORDER BY id", [scope])
    words = str(source.choice(texts)[0]).split()
    return " ".join(source.sample(words, min(_WORDS, len(words))))


async def restart(root: Path, directory: Path) -> Figures:
    """Start the server and the projection as they were left; return the seconds until it is at the log's end."""
    started = time.perf_counter()
    with DataDirectory.claim(root) as claimed:
        async with await EmbeddedServer.start(claimed) as server, await EventLog.open(server.url) as log:
            served = time.perf_counter() - started
            projection = await Projection.open(log, directory)
            await projection.projector.start()
            await projection.projector.wait_for((await log.state()).last_position, timeout=_TIMEOUT)
            seconds = time.perf_counter() - started
            await projection.close()
    return {"restart_s": seconds, "server_start_s": served}


def in_own_process(step: str, **options: str | int | Path) -> Figures:
    """Run one step of this benchmark in a fresh process and return what it found."""
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, __file__, "--step", step, *given]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: Figures = json.loads(output.splitlines()[-1])
    return figures


async def run(options: argparse.Namespace) -> Figures:
    """Write the log, replay it, ask and restart, each in a process of its own; return the figures."""
    items: int = options.items
    sizes = (items, _FULL * items) if options.full else (max(ITEMS, items // _SHARE), items)
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as name:
        root = Path(name)
        with DataDirectory.claim(root) as claimed:
            async with await EmbeddedServer.start(claimed) as server:
                filled = time.perf_counter()
                async with await EventLog.open(server.url) as log:
                    marks = await fill(log, options.users, sizes)
                seconds = time.perf_counter() - filled
                figures = replayed(server.url, root / _PROJECTION, marks, options)
                until = marks.positions[0 if options.full else -1]
                if until > _TAIL:
                    scratch = root / "snapshot"
                    figures |= in_own_process("behind", server=server.url, directory=scratch, until=until)
        # The last replay has left the projection of the whole log.
        asked = in_own_process("ask", directory=root / _PROJECTION, users=options.users)
        restarted = rounds_of(
            lambda: in_own_process("restart", root=root, directory=root / _PROJECTION), options.rounds
        )
    rounded = {key: round(value, 4) for key, value in (figures | asked | restarted).items()}
    return rounded | {"events": marks.events, "fill_s": round(seconds, 1), "rounds": options.rounds}


def replayed(server: str, directory: Path, marks: Marks, options: argparse.Namespace) -> Figures:
    """Read and replay both parts of the log, round by round; the larger one comes last."""
    small, large = (
        rounds_of(
            lambda until=until: (
                in_own_process("read", server=server, until=until)
                | in_own_process("replay", server=server, directory=directory, until=until)
            ),
            options.rounds,
        )
        for until in marks.positions
    )
    # What is promised is promised of the usual size: with --full that is the smaller part.
    usual = small if options.full else large
    per_item = [part["replay_s"] / part["items"] for part in (small, large)]
    return {
        "items_per_s": usual["items"] / usual["replay_s"],
        "ceiling_ratio": usual["read_s"] / usual["replay_s"],
        "linear_ratio": per_item[1] / per_item[0],
        "peak_rss_mb": usual["peak_rss_mb"],
        "items": usual["items"],
        "linear_from_items": small["items"],
        "linear_to_items": large["items"],
        "largest_peak_rss_mb": large["peak_rss_mb"],
    }


def rounds_of(step: Callable[[], Figures], rounds: int) -> Figures:
    """Return the median of each figure over the rounds."""
    found = [step() for _ in range(rounds)]
    return {key: median(one[key] for one in found) for key in found[0]}


def _options() -> argparse.Namespace:
    examples = [
        "python tests/benchmarks/replay.py",
        "python tests/benchmarks/replay.py --items 50000 --rounds 1 --json",
        "python tests/benchmarks/replay.py --full",
    ]
    parser = arguments(__doc__ or "", examples)
    parser.add_argument("--items", type=positive, default=200_000, help="items in the log (default 200,000)")
    parser.add_argument("--users", type=positive, default=1_000, help="users that they belong to (default 1,000)")
    parser.add_argument("--rounds", type=positive, default=3, help="processes of which the medians are taken")
    parser.add_argument("--full", action="store_true", help="also replay five times as many: minutes, and gigabytes")
    # What the benchmark's own processes are told.
    parser.add_argument("--step", choices=("read", "replay", "behind", "ask", "restart"), help=argparse.SUPPRESS)
    parser.add_argument("--server", help=argparse.SUPPRESS)
    parser.add_argument("--until", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.items < ITEMS:
        parser.error(f"--items: at least {ITEMS}, one resource")
    return options


async def _step(options: argparse.Namespace) -> Figures:
    match options.step:
        case "read":
            return await read_bare(options.server, options.until)
        case "replay":
            return await replay(options.server, options.directory, options.until)
        case "behind":
            return await behind(options.server, options.directory, options.until)
        case "ask":
            return await ask(options.directory, options.users)
        case _:
            return await restart(options.root, options.directory)


def main() -> None:
    """Read the options, measure, report."""
    options = _options()
    if options.step:
        print_json(asyncio.run(_step(options)))
        return
    figures = asyncio.run(run(options))
    title = f"replay: {figures['items']:,.0f} items, medians of {options.rounds}"
    report(title, figures, BARS, as_json=options.json)


if __name__ == "__main__":
    main()
