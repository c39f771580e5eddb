"""Recall: how much of what answers a question is among the first items that memory returns.

Memorizes each conversation as a user would, asks every question, and compares the messages behind the hits with the
evidence: no language model takes part. An item counts for each message in its sources, a segment for its messages, a
category for those of the items that its file cites; k counts hits. ``evidence@2000tokens`` is the share of the
evidence that the packed context of 2,000 tokens cites. Shares are in percent, with 95 % bootstrap intervals. LoCoMo's
``adversarial`` questions have no true answer and BEAM's ``abstention`` no evidence: they are reported apart, with how
often memory said that nothing sufficed.
"""

import argparse
import asyncio
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from corpora import Conversation, Query
from evidence import corpora_of, embedder_of, evidence_arguments
from measure import percentile, positive, print_json, print_table
from readymade import FactExtractor

from memstream import AsyncMemory, AsyncUser
from memstream.projections.words import count_tokens
from memstream.services.protocols import Embedder
from memstream.services.reads import Retrieved

_DEPTH = 50
_READ = 10
_TIMEOUT = 900.0
_BUDGETS = (250, 500, 1_000, 2_000)
_APART = frozenset({"adversarial", "abstention"})
_SHOWN = (
    *("recall@5", "recall@10", "recall@25", "hit@1", "hit@10", "mrr"),
    *("evidence@2000tokens", "tokens@10", "questions"),
)
_SEED, _DRAWS = 20_267, 1_000
_CITED = re.compile(r"\[\^([^\]]+)\]")

Behind = dict[str, frozenset[str]]


class Answered(NamedTuple):
    """What one question got: figures by name, each 0 to 1 but the tokens; whether anything was said to suffice."""

    kind: str
    figures: dict[str, float]
    sufficient: bool
    seconds: float


def judge(ranking: Sequence[frozenset[str]], evidence: frozenset[str]) -> dict[str, float]:
    """Compare the messages behind ranked hits with those that hold the answer."""
    behind = [hit & evidence for hit in ranking]
    first = next((rank for rank, found in enumerate(behind, start=1) if found), 0)
    recall = {f"recall@{k}": len(frozenset[str]().union(*behind[:k])) / len(evidence) for k in (5, 10, 25)}
    return {
        **recall,
        "hit@1": float(first == 1),
        "hit@10": float(0 < first <= _READ),
        "mrr": 1 / first if first else 0.0,
    }


async def memorize(user: AsyncUser, conversation: Conversation) -> Behind:
    """Memorize a conversation part by part, wait for all that is derived, and return the messages behind each item."""
    for messages in conversation.parts:
        await user.memorize(messages, timeout=_TIMEOUT)
    await user.settle(timeout=_TIMEOUT)
    behind: Behind = {}
    while page := await user.items(limit=1_000, offset=len(behind)):
        behind |= {item.id: frozenset(one for told in item.sources for one in told.message_ids) for item in page}
    return behind


async def ask(user: AsyncUser, query: Query, behind: Behind) -> Answered:
    """Ask one question in every tier and judge each tier and the packed context."""
    started = time.perf_counter()
    answer = await user.retrieve(query.text, top_k=_DEPTH, max_tokens=_BUDGETS[-1], exhaustive=True)
    seconds = time.perf_counter() - started
    sufficient = answer.sufficient_at is not None
    if not query.evidence:
        return Answered(query.kind, {}, sufficient, seconds)
    figures = judge([behind[hit.id] for hit in answer.items], query.evidence)
    figures["tokens@10"] = float(sum(count_tokens(hit.text) for hit in answer.items[:_READ]))
    figures |= _tiers(answer, query, behind)
    # Half the context is the first half of it: lines are packed best first.
    for budget in _BUDGETS:
        figures[f"evidence@{budget}tokens"] = _share(_cited(answer, budget, behind), query.evidence)
    return Answered(query.kind, figures, sufficient, seconds)


def _tiers(answer: Retrieved, query: Query, behind: Behind) -> dict[str, float]:
    segments = [frozenset(hit.message_ids) for hit in answer.resources]
    files = [
        frozenset[str]().union(*(behind.get(item, frozenset()) for item in hit.items)) for hit in answer.categories
    ]
    tiers = {"resource": judge(segments, query.evidence), "category": judge(files, query.evidence)}
    return {f"{tier}:{name}": value for tier, figures in tiers.items() for name, value in figures.items()}


def _cited(answer: Retrieved, budget: int, behind: Behind) -> frozenset[str]:
    """Return the messages behind what the first tokens of the context cite."""
    segments = {hit.id: frozenset(hit.message_ids) for hit in answer.resources}
    used, found = 0, frozenset[str]()
    for line in re.split(r"\n(?=- |## |.*\[\^)", answer.context):
        used += count_tokens(line + "\n")
        if used > budget:
            break
        found = found.union(*(behind.get(one, segments.get(one, frozenset())) for one in _CITED.findall(line)))
    return found


def _share(found: frozenset[str], evidence: frozenset[str]) -> float:
    return len(found & evidence) / len(evidence)


async def measure(conversations: Sequence[Conversation], embedder: Embedder, *, facts: bool) -> dict[str, Any]:
    """Memorize and ask all conversations in one memory, each as a user of its own."""
    answered: list[Answered] = []
    memorizing = 0.0
    extractor = FactExtractor(embedder, {one.id: one.facts for one in conversations}) if facts else None
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        async with await AsyncMemory.open(root, embedder=embedder, extractor=extractor) as memory:
            for conversation in conversations:
                user, started = memory.user(conversation.id), time.perf_counter()
                behind = await memorize(user, conversation)
                memorizing += time.perf_counter() - started
                answered += [await ask(user, query, behind) for query in conversation.queries]
    return summary(answered) | {"memorize_seconds": round(memorizing, 1)}


def summary(answered: Sequence[Answered]) -> dict[str, Any]:
    """Return the means over all questions and over each kind; what has no true answer stands apart."""
    judged = [one for one in answered if one.figures]
    kinds: dict[str, list[Answered]] = defaultdict(list)
    for one in judged:
        kinds[one.kind].append(one)
    apart = {kind: means(kinds.pop(kind)) for kind in sorted(_APART & kinds.keys())}
    counted = [one for group in kinds.values() for one in group]
    seconds = [one.seconds for one in answered]
    figures = means(counted)
    return {
        **{name: value for name, value in figures.items() if ":" not in name},
        "intervals": {name: interval([one.figures[name] for one in counted]) for name in ("recall@5", "recall@10")},
        "by_kind": {
            kind: {name: value for name, value in means(group).items() if ":" not in name}
            for kind, group in sorted(kinds.items())
        },
        "by_tier": {
            tier: {name.partition(":")[2]: value for name, value in figures.items() if name.startswith(f"{tier}:")}
            for tier in ("resource", "category")
        },
        **apart,
        "sufficiency": sufficiency(answered),
        "seconds_per_question": round(fmean(seconds), 4),
        "seconds_p95": round(percentile(seconds, 95), 4),
    }


def means(group: Sequence[Answered]) -> dict[str, float]:
    """Return the mean of each figure, shares in percent."""
    figures = {name: fmean(one.figures[name] for one in group) for name in (group[0].figures if group else ())}
    scaled = {name: round(value * (1 if name == "tokens@10" else 100), 1) for name, value in figures.items()}
    return scaled | {"questions": len(group)}


def interval(values: Sequence[float]) -> list[float]:
    """Return the 95 % bootstrap interval of a mean, in percent."""
    chance, held = np.random.default_rng(_SEED), np.asarray(values)
    drawn = held[chance.integers(0, len(held), (_DRAWS, len(held)))].mean(axis=1)
    return [round(100 * float(bound), 1) for bound in np.percentile(drawn, (2.5, 97.5))]


def sufficiency(answered: Sequence[Answered]) -> dict[str, float]:
    """Compare what memory called sufficient with whether all the evidence was in its first ten items.

    ``nothing_*`` is how often it said that nothing sufficed, of the questions that have no answer and of the others.
    """
    judged = [one for one in answered if one.figures and one.kind not in _APART]
    right = [one.sufficient for one in judged if one.figures["recall@10"] == 1]
    said = [one.figures["recall@10"] == 1 for one in judged if one.sufficient]
    apart = [one for one in answered if one.kind in _APART]
    found = {
        "precision": fmean(said) if said else 0.0,
        "recall": fmean(right) if right else 0.0,
        "nothing_of_unanswerable": fmean(not one.sufficient for one in apart) if apart else 0.0,
        "nothing_of_answerable": fmean(not one.sufficient for one in judged) if judged else 0.0,
    }
    return {name: round(100 * value, 1) for name, value in found.items()}


def show(name: str, result: dict[str, Any]) -> None:
    """Print a row for everything, one for each kind and tier, and one for what stands apart."""
    groups = {"all": result, **result["by_kind"], **{kind: result[kind] for kind in sorted(_APART & result.keys())}}
    groups |= {f"({tier})": figures for tier, figures in result["by_tier"].items()}
    rows = [[kind, *(f"{group.get(key, 0):,g}" for key in _SHOWN)] for kind, group in groups.items()]
    took = f"{1_000 * result['seconds_per_question']:.0f} ms a question, p95 {1_000 * result['seconds_p95']:.0f} ms"
    print_table(f"{name}: percent; {took}; memorized in {result['memorize_seconds']} s", [name, *_SHOWN], rows)
    print(f"95 % intervals: {result['intervals']}; sufficiency: {result['sufficiency']}")


def _options() -> argparse.Namespace:
    examples = [
        "python tests/benchmarks/recall.py --locomo locomo.json --beam beam.json",
        "python tests/benchmarks/recall.py --locomo locomo.json --embedder bge-small --facts",
        "python tests/benchmarks/recall.py --beam beam.json --limit 1 --json",
    ]
    parser = evidence_arguments(__doc__ or "", examples, required=False)
    parser.add_argument("--facts", action="store_true", help="give LoCoMo's ready-made facts to memorize, too")
    parser.add_argument("--limit", type=positive, help="conversations to take from the start of each (default: all)")
    options = parser.parse_args()
    if not (options.locomo or options.beam):
        parser.error("name at least one of --locomo and --beam")
    return options


def main() -> None:
    """Read the options, measure, report."""
    options = _options()
    embedder = embedder_of(options)
    results: dict[str, Any] = {}
    for name, conversations in corpora_of(options).items():
        results[name] = asyncio.run(measure(conversations[: options.limit], embedder, facts=options.facts))
        if not options.json:
            show(name, results[name])
    print_json(results)


if __name__ == "__main__":
    main()
