"""The weights of the ranking: fitted on development conversations, and what each signal is worth on held-out ones.

Memorizes the conversations, takes the signals of every statement for every question, and fits one weight a signal and
a kind of memory (short turns, long messages) by a listwise loss: the logarithm of the softmax that the evidence gets.
Prints recall@10 of the weights in use, of weights fitted without the conversation that is asked (leave one
conversation out), and of those without one signal after the other: the ablation table of docs/recall.md.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from corpora import Conversation
from evidence import corpora_of, embedder_of, evidence_arguments
from measure import print_json, print_table
from numpy.typing import NDArray

from memstream import AsyncMemory
from memstream.events.subjects import Scope
from memstream.projections.apply import space_name
from memstream.projections.cues import without_names
from memstream.projections.ranking import WEIGHTS, pick
from memstream.projections.recall import Recall
from memstream.projections.signals import Asked, signals_of
from memstream.services.protocols import Embedder

_TIMEOUT = 900.0
_READ = 10
_APART = frozenset({"adversarial", "abstention"})
# Sharpness of the softmax, pull towards zero, and how much more a question of the smaller set counts.
_SCALE, _PULL, _BEAM_WEIGHT = 12.0, 0.5, 2.5
_STEPS, _RATE = 400, 0.01

Floats = NDArray[np.float64]


class Asking(NamedTuple):
    """A question of a conversation: its kind, its evidence, and a row of signals for each statement."""

    kind: str
    evidence: frozenset[str]
    signals: Floats
    right: Floats


class Recorded(NamedTuple):
    """A conversation: its set, its statements' messages and places, and its questions."""

    name: str
    corpus: str
    short: float
    behind: list[frozenset[str]]
    messages: NDArray[np.int64]
    questions: list[Asking]


async def collect(corpora: dict[str, list[Conversation]], embedder: Embedder) -> list[Recorded]:
    """Memorize everything and return the signals of every question."""
    found: list[Recorded] = []
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        async with await AsyncMemory.open(root, embedder=embedder) as memory:
            for corpus, conversations in corpora.items():
                for conversation in conversations:
                    user = memory.user(conversation.id)
                    for messages in conversation.parts:
                        await user.memorize(messages, timeout=_TIMEOUT)
                    position = await user.settle(timeout=_TIMEOUT)
                    process: Any = memory._backend._port  # type: ignore[attr-defined]  # what a user has no need of
                    found.append(await _signals(process.projection.recall, corpus, conversation, embedder, position))
    return found


async def _signals(
    recall: Recall, corpus: str, conversation: Conversation, embedder: Embedder, position: int
) -> Recorded:
    scope, space = Scope.of("default", conversation.id), space_name(embedder.space)
    async with recall.corpora.statements(scope.key, space) as statements:
        visible = statements.visible(position)
        rows = np.flatnonzero(visible)
        sources = [statements.sources_of(statements.ids[row], position) for row in rows]
        behind = [frozenset(one for told in held for one in told.message_ids) for held in sources]
        questions, short = list[Asking](), 0.0
        for query in conversation.queries:
            if not query.evidence or query.kind in _APART:
                continue
            vector = (await embedder.embed([without_names(query.text, statements.names(visible))]))[0]
            signalled = signals_of(statements, Asked(query.text, vector), visible)
            short = signalled.short
            held = np.stack([signalled.signals[name][rows] for name in WEIGHTS], axis=1).astype(np.float64)
            spread = np.concatenate([held * short, held * (1 - short)], axis=1)
            right = np.asarray([len(one & query.evidence) for one in behind], np.float64)
            questions.append(Asking(query.kind, query.evidence, spread, right))
        layout = statements.layout
        return Recorded(conversation.id, corpus, short, behind, layout.messages[rows], questions)


def fit(conversations: Sequence[Recorded], kept: NDArray[np.bool_]) -> Floats:
    """Return the weights, short then long, that give the evidence most of the softmax; never below zero."""
    weights = np.where(kept, 0.1, 0.0)
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, _STEPS + 1):
        slope = 2 * _PULL * weights + sum(_slopes(conversations, weights))
        mean, square = 0.9 * mean + 0.1 * slope, 0.99 * square + 0.01 * slope**2
        moved = _RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
        weights = np.where(kept, np.maximum(weights - moved, 0), 0)
    return weights


def _slopes(conversations: Sequence[Recorded], weights: Floats) -> Iterator[Floats]:
    for conversation in conversations:
        counts = _BEAM_WEIGHT if conversation.corpus == "beam" else 1.0
        for one in conversation.questions:
            if not one.right.any():
                continue
            scores = _SCALE * (one.signals @ weights)
            given = np.exp(scores - scores.max())
            wanted = one.right / one.right.sum() - given / given.sum()
            yield -counts * _SCALE * (wanted @ one.signals)


def recall_of(conversation: Recorded, weights: Floats) -> list[float]:
    """Return each question's recall@10 under some weights."""
    found: list[float] = []
    for one in conversation.questions:
        scores = (one.signals @ weights).astype(np.float32)
        rows = pick(scores, conversation.messages, _READ)
        held = frozenset[str]().union(*(conversation.behind[row] for row in rows))
        found.append(len(held & one.evidence) / len(one.evidence))
    return found


def held_out(conversations: Sequence[Recorded], without: str | None = None) -> dict[str, float]:
    """Return recall@10 by corpus, each conversation asked with weights that were fitted without it."""
    kept = np.asarray([name != without for name in WEIGHTS] * 2, np.bool_)
    shares: dict[str, list[float]] = {}
    for one in conversations:
        weights = fit([other for other in conversations if other is not one], kept)
        shares.setdefault(one.corpus, []).extend(recall_of(one, weights))
    return {corpus: round(100 * fmean(found), 1) for corpus, found in shares.items()}


def _options() -> argparse.Namespace:
    examples = ["python tests/benchmarks/ranker.py --locomo locomo.json --beam beam.json"]
    parser = evidence_arguments(__doc__ or "", examples, required=True)
    parser.add_argument("--no-ablation", action="store_true", help="fit and compare only")
    return parser.parse_args()


def main() -> None:
    """Read the options, collect, fit, report."""
    options = _options()
    corpora = corpora_of(options)
    conversations = asyncio.run(collect(corpora, embedder_of(options)))
    used = np.asarray([one.short for one in WEIGHTS.values()] + [one.long for one in WEIGHTS.values()])
    shares: dict[str, list[float]] = {}
    for one in conversations:
        shares.setdefault(one.corpus, []).extend(recall_of(one, used))
    results = {"in use": {corpus: round(100 * fmean(found), 1) for corpus, found in shares.items()}}
    results["fitted, held out"] = held_out(conversations)
    for name in () if options.no_ablation else WEIGHTS:
        results[f"without {name}"] = held_out(conversations, name)
    if not options.json:
        rows = [[name, *(f"{value:.1f}" for value in found.values())] for name, found in results.items()]
        print_table(f"recall@10, {options.embedder}", ["weights", *corpora], rows)
    everything = fit(conversations, np.ones(2 * len(WEIGHTS), np.bool_)).round(3).tolist()
    fitted = dict(zip(WEIGHTS, zip(everything[: len(WEIGHTS)], everything[len(WEIGHTS) :], strict=True), strict=True))
    print_json({"recall@10": results, "fitted": fitted})


if __name__ == "__main__":
    main()
