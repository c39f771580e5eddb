"""Recall: how much of what answers a question is among the first items that memory returns.

Memorizes each conversation as a user would, asks every question with evidence, and compares the messages behind the
items with the evidence: no language model takes part. An item counts for each message in its sources, and k counts
items. Shares are in percent; LoCoMo's ``adversarial`` questions, which have no true answer, are reported apart.
"""

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from corpora import Conversation, Query, beam, locomo
from measure import arguments, percentile, positive, print_json, print_table

from memstream import AsyncMemory, AsyncUser
from memstream.projections.models import ItemHit
from memstream.projections.words import count_tokens

_DEPTH = 25
_READ = 10
_TIMEOUT = 600.0
_APART = "adversarial"
_SHOWN = ("recall@5", "recall@10", "recall@25", "hit@1", "hit@10", "mrr", "tokens@10", "questions")


class Answered(NamedTuple):
    """What one question got: figures by name, each 0 to 1 but the tokens, and the seconds that it took."""

    kind: str
    figures: dict[str, float]
    seconds: float


def judge(hits: Sequence[ItemHit], evidence: frozenset[str]) -> dict[str, float]:
    """Compare ranked items with the messages that hold the answer."""
    behind = [{one for source in hit.sources for one in source.message_ids} & evidence for hit in hits]
    first = next((rank for rank, found in enumerate(behind, start=1) if found), 0)
    recall = {f"recall@{k}": len(set[str]().union(*behind[:k])) / len(evidence) for k in (5, 10, 25)}
    return {
        **recall,
        "hit@1": float(first == 1),
        "hit@10": float(0 < first <= _READ),
        "mrr": 1 / first if first else 0.0,
        "tokens@10": float(sum(count_tokens(hit.text) for hit in hits[:_READ])),
    }


async def memorize(user: AsyncUser, conversation: Conversation) -> None:
    """Memorize a conversation part by part and wait until everything derived from it is written."""
    for messages in conversation.parts:
        await user.memorize(messages, timeout=_TIMEOUT)
    await user.settle(timeout=_TIMEOUT)


async def ask(user: AsyncUser, query: Query) -> Answered:
    """Ask one question in every tier and judge the items."""
    started = time.perf_counter()
    answer = await user.retrieve(query.text, top_k=_DEPTH, exhaustive=True)
    return Answered(query.kind, judge(answer.items, query.evidence), time.perf_counter() - started)


async def measure(conversations: Sequence[Conversation]) -> dict[str, Any]:
    """Memorize and ask all conversations in one memory, each as a user of its own."""
    answered: list[Answered] = []
    memorizing = 0.0
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        async with await AsyncMemory.open(root) as memory:
            for conversation in conversations:
                user, started = memory.user(conversation.id), time.perf_counter()
                await memorize(user, conversation)
                memorizing += time.perf_counter() - started
                answered += [await ask(user, query) for query in conversation.queries]
    return summary(answered) | {"memorize_seconds": round(memorizing, 1)}


def summary(answered: Sequence[Answered]) -> dict[str, Any]:
    """Return the means over all questions and over each kind; what has no true answer stands apart."""
    kinds: dict[str, list[Answered]] = defaultdict(list)
    for one in answered:
        kinds[one.kind].append(one)
    apart = kinds.pop(_APART, [])
    seconds = [one.seconds for one in answered]
    return {
        **means([one for group in kinds.values() for one in group]),
        "by_kind": {kind: means(group) for kind, group in sorted(kinds.items())},
        **({_APART: means(apart)} if apart else {}),
        "seconds_per_question": round(fmean(seconds), 4),
        "seconds_p95": round(percentile(seconds, 95), 4),
    }


def means(group: Sequence[Answered]) -> dict[str, float]:
    """Return the mean of each figure, shares in percent."""
    figures = {name: fmean(one.figures[name] for one in group) for name in (group[0].figures if group else ())}
    scaled = {name: round(value * (1 if name == "tokens@10" else 100), 1) for name, value in figures.items()}
    return scaled | {"questions": len(group)}


def show(name: str, result: dict[str, Any]) -> None:
    """Print a row for everything, one for each kind, and one for what stands apart."""
    groups = {"all": result, **result["by_kind"], **({_APART: result[_APART]} if _APART in result else {})}
    rows = [[kind, *(f"{group.get(key, 0):,g}" for key in _SHOWN)] for kind, group in groups.items()]
    took = f"{1_000 * result['seconds_per_question']:.0f} ms a question, p95 {1_000 * result['seconds_p95']:.0f} ms"
    print_table(f"{name}: percent; {took}; memorized in {result['memorize_seconds']} s", [name, *_SHOWN], rows)


def _options() -> argparse.Namespace:
    examples = [
        "python tests/benchmarks/recall.py --locomo locomo.json",
        "python tests/benchmarks/recall.py --locomo locomo.json --beam beam.json --limit 1 --json",
    ]
    parser = arguments(__doc__ or "", examples)
    parser.add_argument("--locomo", type=Path, required=True, help="LoCoMo conversations with evidence (JSON)")
    parser.add_argument("--beam", type=Path, help="BEAM chats with evidence (JSON)")
    parser.add_argument("--limit", type=positive, help="conversations to take from the start of each (default: all)")
    return parser.parse_args()


def main() -> None:
    """Read the options, measure, report."""
    options = _options()
    corpora = {"locomo": locomo(options.locomo)} | ({"beam": beam(options.beam)} if options.beam else {})
    results: dict[str, Any] = {}
    for name, conversations in corpora.items():
        results[name] = asyncio.run(measure(conversations[: options.limit]))
        if not options.json:
            show(name, results[name])
    print_json(results)


if __name__ == "__main__":
    main()
