"""Beside the peer: the same turns added to memstream and to mem0, the same questions asked of both.

mem0 runs with its local qdrant, ``infer=False`` and the same wordllama vectors, in the environment that ``make peers``
installs. ``adds_per_s`` are turns a second, one a call; ``whole_adds_per_s`` as many turns of other users, a conversation a
call. Ours count once they can be retrieved. ``found_share`` is how often the turn that a question took its words from was among the first ten.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from dialogue import conversation
from measure import arguments, figures_of, percentile, positive, print_json, print_table

from memstream import AsyncMemory

_HERE = Path(__file__).parent
_PEER = _HERE / ".venv" / "bin" / "python"
_SEED, _TURNS, _WORDS = 20_268, 100, 6


def work(items: int, users: int, count: int) -> dict[str, Any]:
    """Return the turns of users, and questions: some words of one turn, with the turn that is meant."""
    source = random.Random(_SEED)
    half = items // _TURNS
    conversations = [
        (f"user-{number % users}", [str(turn["content"]) for turn in conversation(source, number, _TURNS)])
        for number in range(2 * half)
    ]
    texts = [[user, text] for user, turns in conversations[:half] for text in turns]
    asked: list[list[str]] = []
    for user, text in source.choices(texts, k=count):
        words = text.split()
        asked.append([user, " ".join(source.sample(words, min(_WORDS, len(words)))), text])
    return {"texts": texts, "conversations": conversations[half:], "asked": asked}


async def ours(given: dict[str, Any]) -> dict[str, float]:
    """Add and ask through the public interface, as the peer does."""
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        async with await AsyncMemory.open(root) as memory:
            added = await _added(memory, [(user, [text]) for user, text in given["texts"]])
            whole = await _added(memory, [(f"whole-{user}", texts) for user, texts in given["conversations"]])
            taken, found = list[float](), 0
            for user, question, meant in given["asked"]:
                started = time.perf_counter()
                answer = await memory.user(user).retrieve(question, exhaustive=True)
                taken.append(1_000 * (time.perf_counter() - started))
                found += any(hit.text == meant for hit in answer.items)
    return {
        "adds_per_s": round(added, 1),
        "whole_adds_per_s": round(whole, 1),
        "search_p50_ms": round(median(taken), 2),
        "search_p95_ms": round(percentile(taken, 95), 2),
        "found_share": round(found / len(taken), 3),
    }


async def _added(memory: AsyncMemory, calls: list[tuple[str, list[str]]]) -> float:
    """Add turns, call by call; return how many a second could be retrieved."""
    started = time.perf_counter()
    for user, texts in calls:
        await memory.user(user).memorize([{"role": "user", "content": text} for text in texts], wait=False)
    for user in sorted({user for user, _ in calls}):
        await memory.user(user).settle(timeout=600)
    return sum(len(texts) for _, texts in calls) / (time.perf_counter() - started)


def peer(given: dict[str, Any]) -> dict[str, float]:
    """Let the peer do the same in its own environment."""
    if not _PEER.exists():
        raise SystemExit("the peer is not installed: run 'make peers'")
    return figures_of([str(_PEER), str(_HERE / "mem0_peer.py")], json.dumps(given))


def main() -> None:
    """Read the options, measure both, report."""
    parser = arguments(__doc__ or "", ["python tests/benchmarks/peers/compare.py --items 2000"])
    parser.add_argument("--items", type=positive, default=4_000, help="turns to add (default 4,000)")
    parser.add_argument("--users", type=positive, default=10, help="users that they belong to (default 10)")
    parser.add_argument("--questions", type=positive, default=300, help="questions to ask (default 300)")
    options = parser.parse_args()
    given = work(options.items, options.users, options.questions)
    figures: dict[str, Any] = {"memstream": asyncio.run(ours(given)), "mem0": peer(given)}
    if not options.json:
        rows = [[name, *(f"{value:,g}" for value in found.values())] for name, found in figures.items()]
        print_table(f"{options.items:,} turns of {options.users} users", ["", *figures["mem0"]], rows)
    print_json(figures)


if __name__ == "__main__":
    main()
