"""Retrieving: how long a question takes, from the query to the recorded answer, and what it costs beside the floor.

100,000 turns of 1,000 users are memorized through the public interface, and as many of a single user. Each figure is
taken by a process of its own over the same data: in process, over HTTP, by 50 callers at once, and over HTTP while
500 events a second are projected (``busy_ratio`` is the p95 then over the p95 without them). Users are asked at random;
the first question of each, which loads what is known of them, is told apart (``first_…``). ``floor_ratio`` is the
median over that of a bare LanceDB hybrid search of the same texts and vectors with the same filter. ``growth_ratio`` is the median at ten times the items, of
ten times the users, over the median at a tenth of them, ``growth_first_ratio`` that of first questions; with
``--full`` at a hundred times.
"""

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from dialogue import conversation
from floor import ask_bare
from history import SPACE, History, fill, scope_of
from measure import Bar, arguments, peak_rss_mb, percentile, positive, print_json, report, temporary_server

from memstream import AsyncMemory
from memstream.events.log import EventLog
from memstream.projections.apply import space_name
from memstream.projections.live import open_stores
from memstream.projections.question import Question
from memstream.projections.rebuild import Rebuild
from memstream.projections.recall import Recall
from memstream.services.local.embedder import WordLlamaEmbedder

# The tests' helpers are what a pytest run would find by its own path.
sys.path.append(str(Path(__file__).parents[1]))

from processes import Service

BARS = (
    *(Bar("p50_ms", "most", 12), Bar("p95_ms", "most", 25), Bar("http_p50_ms", "most", 18)),
    *(Bar("concurrent_per_s", "least", 150), Bar("concurrent_p95_ms", "most", 500)),
    *(Bar("one_user_p50_ms", "most", 40), Bar("busy_ratio", "most", 2), Bar("peak_rss_mb", "most", 1_024)),
    *(Bar("growth_ratio", "most", 10), Bar("growth_first_ratio", "most", 10)),
)
_SEED = 20_266
_TURNS, _CONCURRENCY = 100, 8
_CALLERS, _EVENTS_PER_S, _PULSE_SECONDS = 50, 500, 0.1
_WORDS, _LETTERS, _WARM = 6, 4, 20
_TIMEOUT = 600.0

Figures = dict[str, float]


def questions(items: int, users: int, count: int, seed: int = _SEED) -> list[tuple[int, str]]:
    """Return users and questions: some words of one of the user's own turns."""
    source, asked = random.Random(seed), list[tuple[int, str]]()
    for _ in range(count):
        number = source.randrange(items // _TURNS)
        turn = source.choice(_conversation(number))
        # A question of "the" and "of" alone asks nothing.
        words = [word for word in str(turn["content"]).split() if len(word) >= _LETTERS]
        asked.append((number % users, " ".join(source.sample(words, min(_WORDS, len(words))))))
    return asked


def _conversation(number: int) -> list[dict[str, Any]]:
    return conversation(random.Random(_SEED + number), number, _TURNS)


async def memorize(data: Path, items: int, users: int) -> Figures:
    """Memorize everything and wait until it can be retrieved."""
    waiting, started = deque(range(items // _TURNS)), time.perf_counter()
    async with await AsyncMemory.open(data) as memory:

        async def work() -> None:
            while waiting:
                number = waiting.popleft()
                await memory.user(f"user-{number % users}").memorize(_conversation(number), timeout=_TIMEOUT)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_CONCURRENCY):
                tasks.create_task(work())
        await asyncio.gather(*(memory.user(f"user-{number}").settle(timeout=_TIMEOUT) for number in range(users)))
    return {"memorize_s": round(time.perf_counter() - started, 1)}


async def ask_all(
    memory: AsyncMemory, asked: Sequence[tuple[int, str]], callers: int = 1, *, exhaustive: bool = False
) -> tuple[list[float], float]:
    """Ask all questions, so many at once; return the milliseconds of each and the seconds of all."""
    waiting, taken = deque(asked), list[float]()

    async def call() -> None:
        while waiting:
            user, question = waiting.popleft()
            started = time.perf_counter()
            found = await memory.user(f"user-{user}").retrieve(question, exhaustive=exhaustive)
            taken.append(1_000 * (time.perf_counter() - started))
            assert found.needs_retrieval, question

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(call())
    return taken, time.perf_counter() - started


async def in_process(options: argparse.Namespace) -> Figures:
    """Ask in this process: alone, then many at once."""
    asked = questions(options.items, options.users, options.questions + _WARM)
    async with await AsyncMemory.open(options.data) as memory:
        await ask_all(memory, asked[:_WARM])
        first, _ = await ask_all(memory, [(user, "the harbour and the telescope") for user in range(options.users)])
        taken, _ = await ask_all(memory, asked[_WARM:])
        many = questions(options.items, options.users, options.questions, _SEED + 1)
        together, seconds = await ask_all(memory, many, _CALLERS)
    return {
        "first_p50_ms": median(first),
        "first_p95_ms": percentile(first, 95),
        "p50_ms": median(taken),
        "p95_ms": percentile(taken, 95),
        "concurrent_per_s": len(together) / seconds,
        "concurrent_p95_ms": percentile(together, 95),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }


async def over_http(options: argparse.Namespace) -> Figures:
    """Ask a service that is another process; then again while the log grows."""
    asked = questions(options.items, options.users, options.questions + _WARM)
    service = await asyncio.to_thread(Service, options.data)
    try:
        async with await AsyncMemory.connect(service.url) as memory:
            await ask_all(memory, [(user, "the harbour and the telescope") for user in range(options.users)])
            taken, _ = await ask_all(memory, asked[_WARM:])
    finally:
        service.kill_all()
    return {"http_p50_ms": median(taken), "http_p95_ms": percentile(taken, 95)}


async def while_projecting(options: argparse.Namespace) -> Figures:
    """Ask a service that only projects and answers: without anything to project, then with 500 events a second."""
    users, items = options.users, options.items // 10
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        async with temporary_server() as server, await EventLog.open(server.url) as log:
            await fill(log, users, (items,), WordLlamaEmbedder().space)
            service = await asyncio.to_thread(lambda: Service(Path(root), "memory", "gateway", nats_url=server.url))
            try:
                async with await AsyncMemory.connect(service.url) as memory:
                    asked = [
                        (number % users, f"the harbour and the telescope {number}")
                        for number in range(options.questions)
                    ]
                    # All layers of every user are loaded before anything is measured.
                    await ask_all(memory, asked, exhaustive=True)
                    quiet, _ = await ask_all(memory, asked)
                    growing = asyncio.create_task(_grow(log, users))
                    busy, _ = await ask_all(memory, asked)
                    growing.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await growing
            finally:
                service.kill()
    return {
        "quiet_p50_ms": median(quiet),
        "busy_p50_ms": median(busy),
        "quiet_p95_ms": percentile(quiet, 95),
        "busy_p95_ms": percentile(busy, 95),
        "busy_ratio": percentile(busy, 95) / percentile(quiet, 95),
    }


async def _grow(log: EventLog, users: int) -> None:
    """Append 500 events a second: more resources of the same users."""
    history = History(users, WordLlamaEmbedder().space)
    waiting: list[Any] = []
    due = time.monotonic()
    for made in history.resources(10**6, first=10**5):
        waiting += made
        while len(waiting) >= _EVENTS_PER_S * _PULSE_SECONDS:
            pulse = round(_EVENTS_PER_S * _PULSE_SECONDS)
            await log.append_many(waiting[:pulse])
            waiting = waiting[pulse:]
            due += _PULSE_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def one_user(options: argparse.Namespace) -> Figures:
    """Ask the one user whose memory holds everything."""
    asked = questions(options.items, 1, options.questions // 4 + _WARM)
    async with await AsyncMemory.open(options.data) as memory:
        first, _ = await ask_all(memory, asked[:1])
        await ask_all(memory, asked[1:_WARM])
        taken, _ = await ask_all(memory, asked[_WARM:])
    return {
        "one_user_p50_ms": median(taken),
        "one_user_p95_ms": percentile(taken, 95),
        "one_user_first_ms": first[0],
        "one_user_rss_mb": round(peak_rss_mb(), 1),
    }


async def growth(options: argparse.Namespace) -> Figures:
    """Ask projections of a tenth and of all of the items, of as many users, each user twice: the first question loads."""
    sizes = (options.items // 10, options.items * (10 if options.full else 1))
    small, large = [await _medians(size, max(1, options.users * size // options.items), options) for size in sizes]
    return {
        "growth_ratio": large[1] / small[1],
        "growth_first_ratio": large[0] / small[0],
        **dict(zip(("small_first_ms", "small_ms"), small, strict=True)),
        **dict(zip(("large_first_ms", "large_ms"), large, strict=True)),
    }


async def _medians(items: int, users: int, options: argparse.Namespace) -> tuple[float, float]:
    """Return the median milliseconds of the first and of the second question of some users."""
    asked = random.Random(_SEED).sample(range(users), min(users, options.questions // 4))
    taken: tuple[list[float], list[float]] = [], []
    vectors = np.random.default_rng(_SEED)
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        async with temporary_server() as server, await EventLog.open(server.url) as log:
            marks = await fill(log, users, (items,))
            ledger, index = await open_stores(Path(root))
            try:
                await Rebuild(log, ledger, index).run(marks.positions[-1])
                recall = Recall(ledger, index)
                for user in asked:
                    for times in taken:
                        vector = vectors.standard_normal(SPACE.dimension, np.float32)
                        question = Question("the harbour and the telescope", space_name(SPACE), vector, ledger.position)
                        started = time.perf_counter()
                        await recall.answer(scope_of(user), question)
                        times.append(1_000 * (time.perf_counter() - started))
            finally:
                index.close()
                ledger.close()
    return median(taken[0]), median(taken[1])


async def bare(options: argparse.Namespace) -> Figures:
    """Ask bare LanceDB the same questions."""
    texts = [
        (number % options.users, str(turn["content"]))
        for number in range(options.items // _TURNS)
        for turn in _conversation(number)
    ]
    taken = await ask_bare(texts, questions(options.items, options.users, options.questions + _WARM))
    return {"floor_p50_ms": median(taken[_WARM:]), "floor_p95_ms": percentile(taken[_WARM:], 95)}


_STEPS: dict[str, Callable[[argparse.Namespace], Awaitable[Figures]]] = {
    "many": lambda options: memorize(options.data, options.items, options.users),
    "one": lambda options: memorize(options.data, options.items, 1),
    "in-process": in_process,
    "http": over_http,
    "busy": while_projecting,
    "one-user": one_user,
    "growth": growth,
    "floor": bare,
}


def run(options: argparse.Namespace) -> Figures:
    """Measure step by step, each in a process of its own; return the figures."""
    with contextlib.ExitStack() as stack:
        root = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memstream-bench-")))
        figures: Figures = {}
        for step in options.only or _STEPS:
            data = root / ("one" if step in {"one", "one-user"} else "many")
            if step in {"one", "many"} and data.exists():
                continue
            figures |= _in_own_process(step, data, options)
    if "floor_p50_ms" in figures and "p50_ms" in figures:
        figures["floor_ratio"] = figures["p50_ms"] / figures["floor_p50_ms"]
    return {key: round(value, 3) for key, value in figures.items()}


def _in_own_process(step: str, data: Path, options: argparse.Namespace) -> Figures:
    given = [f"--items={options.items}", f"--users={options.users}", f"--questions={options.questions}"]
    command = [
        sys.executable,
        __file__,
        "--step",
        step,
        "--data",
        str(data),
        *given,
        *(["--full"] if options.full else []),
    ]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: Figures = json.loads(output.splitlines()[-1])
    print(f"{step}: {figures}", file=sys.stderr)
    return figures


def _options() -> argparse.Namespace:
    examples = [
        "python tests/benchmarks/retrieve.py",
        "python tests/benchmarks/retrieve.py --items 10000 --users 100 --json",
        "python tests/benchmarks/retrieve.py --only many in-process floor",
    ]
    parser = arguments(__doc__ or "", examples)
    parser.add_argument("--items", type=positive, default=100_000, help="turns to memorize (default 100,000)")
    parser.add_argument("--users", type=positive, default=1_000, help="users that they belong to (default 1,000)")
    parser.add_argument("--questions", type=positive, default=1_000, help="questions of each kind (default 1,000)")
    parser.add_argument("--only", nargs="+", choices=_STEPS, help="steps to run (default: all)")
    parser.add_argument("--full", action="store_true", help="measure growth to ten times the items: minutes")
    parser.add_argument("--keep", type=Path, help="where to keep what is memorized, for the next time")
    # What the benchmark's own processes are told.
    parser.add_argument("--step", choices=_STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Read the options, measure, report."""
    options = _options()
    if options.step:
        print_json(asyncio.run(_STEPS[options.step](options)))
        return
    figures = run(options)
    bars = [bar for bar in BARS if bar.key in figures]
    report(f"retrieve: {options.items:,} items of {options.users:,} users", figures, bars, as_json=options.json)


if __name__ == "__main__":
    main()
