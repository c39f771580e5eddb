"""The three tiers, each searched for one question: categories with their files, statements, segments."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .corpus import Corpus
from .cues import asks_about_the_past
from .experience import Lifts
from .hits import category_hit_of, item_hit_of, resource_hit_of
from .models import CategoryHit, ItemHit, ResourceHit
from .question import Question
from .ranking import CONSIDERED, WEIGHTS, best, fuse, min_max, newer_first, over_max, pick
from .shelving import Nearest, best_held, nearest, shelf_scores
from .signals import Asked, Floats, Signalled, signals_of
from .statements import Statements
from .sufficiency import confidence

Flags = NDArray[np.bool_]
# So many of the first hits are judged.
JUDGED_HITS = 5
# What the signals of one sort are called together.
_TOLD = {
    "missed": "feedback",
    "together": "feedback",
    "context": "text",
    "date": "time",
    "message": "neighbour",
    "before": "neighbour",
    "after": "neighbour",
}
# Beyond every score, so that it comes last.
_BEHIND = 10.0
# What verdicts on all that a category holds count for each of it, beside those on itself. Measured: docs/recall.md.
_SHARED = 1.5
# In files and segments, which are long, the vector and the words count alike.
_TIER_VECTOR = 0.5


class Shelves(NamedTuple):
    """How the categories of a memory fit a question, by the statements that they hold: see ``shelving``.

    ``order`` ranks them; ``best`` is the best statement of each (0 to 1), which speaks for the others that it holds.
    """

    order: Mapping[str, float]
    best: Mapping[str, float]


class Items(NamedTuple):
    """The item hits, the best similarity among the first of them, and the confidence in them."""

    hits: tuple[ItemHit, ...]
    similarity: float = 0.0
    confidence: float | None = None


class Weighed(NamedTuple):
    """Every statement's signals for a question, and which were replaced by which."""

    visible: Flags
    outdated: Mapping[int, int]
    found: Signalled


def weighed(statements: Statements, question: Question) -> Weighed:
    """Return the signals of all statements that a question may find."""
    visible = statements.visible(question.as_of)
    # What a newer statement replaced comes back beside that one.
    outdated = statements.outdated(question.as_of, visible)
    visible[list(outdated)] = True
    return Weighed(visible, outdated, signals_of(statements, Asked(question.text, question.vector), visible))


def shelves_of(statements: Statements, near: Nearest, question: Question) -> Shelves:
    """Return how each category fits a question, by the nearest statements."""
    homes = {row: statements.categories_of(statements.ids[row], question.as_of) for row in near.rows.tolist()}
    return Shelves(shelf_scores(near, homes.__getitem__), best_held(near, homes.__getitem__))


def nearest_of(statements: Statements, one: Weighed, question: Question) -> Nearest:
    """Return the live statements that are nearest to a question."""
    if not one.outdated:
        return nearest(one.found.signals["vector"], one.found.signals["context"])
    # Categories hold live statements only, and are scored as a trial scores them.
    visible = statements.visible(question.as_of)
    similarity, counted = statements.near(question.vector, visible)
    words = statements.context.match(question.words, visible).scores
    return nearest(min_max(similarity, counted), over_max(words))


def category_hits(corpus: Corpus, question: Question, shelves: Shelves) -> tuple[CategoryHit, ...]:
    """Return the categories by their statements; those of which none is near come behind them, by their files."""
    scores, _ = _scored(corpus, question)
    held = np.asarray([shelves.order.get(one, 0.0) for one in corpus.ids], np.float32)
    held[~corpus.visible(question.as_of)] = 0
    by_statements = np.where(held > 0, held, scores - _BEHIND).astype(np.float32)
    ranked = enumerate(best(by_statements, question.top_k), start=1)
    return tuple(category_hit_of(corpus, int(row), round(float(by_statements[row]), 4), rank) for rank, row in ranked)


def _scored(corpus: Corpus, question: Question) -> tuple[Floats, Floats]:
    """Return the score of every file or segment by its vector and words (-inf: no match), and its similarity."""
    visible = corpus.visible(question.as_of)
    similarity, counted = corpus.near(question.vector, visible)
    words = corpus.text.match(question.words, visible)
    fused = _TIER_VECTOR * min_max(similarity, counted) + (1 - _TIER_VECTOR) * over_max(words.scores)
    scores: Floats = np.asarray(fused, np.float32)
    return np.where(visible & (counted | (words.scores > 0)), scores, -np.inf).astype(np.float32), similarity


def item_hits(
    statements: Statements, one: Weighed, question: Question, evolved: Mapping[str, float], lifts: Lifts
) -> Items:
    """Return the statements, best first; ``evolved`` tells how categories fit that evolution made."""
    found = one.found
    if not one.visible.any():
        return Items(())
    scores = np.where(one.visible, fuse(found.signals, found.short), -np.inf).astype(np.float32)
    added = _lifted(statements, best(scores, question.top_k + CONSIDERED), question.as_of, evolved, lifts)
    for row, signals in added.items():
        scores[row] += sum(WEIGHTS[name].at(found.short) * value for name, value in signals.items())
    rows = pick(scores, statements.layout.messages, question.top_k)
    if one.outdated and not asks_about_the_past(question.text):
        rows = newer_first(rows, one.outdated)[: question.top_k]
    hits = tuple(
        item_hit_of(
            statements, row, question.as_of, float(scores[row]), rank, _present(found, row) | _told(added, row, found)
        )
        for rank, row in enumerate(rows, start=1)
    )
    judged = rows[:JUDGED_HITS]
    return Items(
        tuple(_replaced(hit, statements, one.outdated.get(row)) for hit, row in zip(hits, rows, strict=True)),
        max((float(found.similarity[row]) for row in judged), default=0.0),
        confidence(scores, max((float(found.coverage[row]) for row in judged), default=0.0)),
    )


def _replaced(hit: ItemHit, statements: Statements, heir: int | None) -> ItemHit:
    return hit if heir is None else hit.model_copy(update={"superseded_by": statements.ids[heir]})


def _lifted(
    statements: Statements, rows: Iterable[int], as_of: int, evolved: Mapping[str, float], lifts: Lifts
) -> dict[int, dict[str, float]]:
    """Return what categories and feedback add to the candidates: how its best category fits, and past verdicts.

    A verdict on something in a category that evolution made speaks for all that the category holds.
    """
    added: dict[int, dict[str, float]] = {}
    for row in map(int, rows):
        identifier = statements.ids[row]
        homes = [one for one in statements.categories_of(identifier, as_of) if one in evolved]
        fits = max((evolved[one] for one in homes), default=0.0)
        shared = sum(lifts.categories.get(one, 0.0) for one in homes) / max(len(homes), 1)
        said = min(max(lifts.items.get(identifier, 0.0) + _SHARED * shared, -1.0), 1.0)
        told = {"category": round(fits, 4), "feedback": round(said, 4)}
        told["missed"] = round(lifts.missed.get(identifier, 0.0), 4)
        told["together"] = round(lifts.together.get(identifier, 0.0), 4)
        added[row] = {name: value for name, value in told.items() if value}
    return added


def _told(added: Mapping[int, Mapping[str, float]], row: int, found: Signalled) -> dict[str, float]:
    told: dict[str, float] = {}
    for name, value in added.get(row, {}).items():
        if WEIGHTS[name].at(found.short) > 0:
            word = _TOLD.get(name, name)
            told[word] = max(value, told.get(word, value))
    return told


def _present(found: Signalled, row: int) -> dict[str, float]:
    """Return what put a statement there, as a person would tell the signals apart; those that count for nothing are left out."""
    told: dict[str, float] = {}
    for name, signal in found.signals.items():
        if (value := round(float(signal[row]), 4)) > 0 and WEIGHTS[name].at(found.short) > 0:
            word = _TOLD.get(name, name)
            told[word] = max(value, told.get(word, 0.0))
    return told


def resource_hits(corpus: Corpus, question: Question) -> tuple[tuple[ResourceHit, ...], float]:
    """Return the segments, without their items, and the best similarity of the first two."""
    scores, similarity = _scored(corpus, question)
    rows = best(scores, question.top_k)
    hits = tuple(
        resource_hit_of(corpus, int(row), round(float(scores[row]), 4), rank) for rank, row in enumerate(rows, start=1)
    )
    return hits, max((float(similarity[row]) for row in rows[:2]), default=0.0)
