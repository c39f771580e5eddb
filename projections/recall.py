"""Recall: category, item, resource; each tier searched in turn, until one suffices.

Needs no language model: whether a tier suffices is judged by how the scores fall, and by how much of what the question
asks about its best hits contain (see ``sufficiency``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from memstream.events.payloads import Kind, Span
from memstream.events.subjects import Scope

from .changes import Changes
from .corpora import Corpora
from .corpus import Corpus, Statements
from .cues import asks_about_the_past, without_names
from .experience import Experiences
from .index import Index
from .ledger import Ledger
from .models import CategoryHit, ItemHit, Recalled, ResourceHit
from .ranking import CONSIDERED, WEIGHTS, best, fuse, min_max, newer_first, over_max, pick
from .shelving import nearest, shelf_scores
from .signals import Asked, Floats, Signalled, signals_of
from .sufficiency import DOUBTFUL, ENOUGH, confidence
from .words import content_words, spoken_date

# Share of the question's content words that the best hits must contain to be called sufficient.
_SUFFICIENT_COVERAGE = 0.75
_SUFFICIENT_SIMILARITY = 0.35
_JUDGED_HITS = 5
# What the signals of one sort are called together.
_TOLD = {"context": "text", "date": "time", "message": "neighbour", "before": "neighbour", "after": "neighbour"}
# Beyond every score, so that it comes last.
_BEHIND = 10.0
# In files and segments, which are long, the vector and the words count alike.
_TIER_VECTOR = 0.5


@dataclass(frozen=True)
class Question:
    """What is asked: the text (rewritten if need be), its vector, and how many hits each tier may return.

    ``as_of`` is the log position to answer for. ``exhaustive`` wants every tier, whatever the first ones found.
    """

    text: str
    space: str | None
    vector: NDArray[np.float32] | None
    as_of: int
    top_k: int = 10
    exhaustive: bool = False

    @cached_property
    def words(self) -> frozenset[str]:
        """The words that carry meaning."""
        return frozenset(content_words(self.text))


class Recall:
    """Answers questions from one projection."""

    def __init__(self, ledger: Ledger, index: Index) -> None:
        self._ledger = ledger
        self.corpora = Corpora(ledger, index)
        self._experiences = Experiences(ledger)

    def commit(self, changes: Changes, position: int, *, behind: bool) -> None:
        """Hear what a commit brought; ``behind`` a position that was reached before."""
        self.corpora.commit(changes, position, behind=behind)
        self._experiences.commit(changes, behind=behind)

    async def wording(self, scope: Scope, text: str, *, space: str | None, as_of: int) -> str:
        """Return what of a question to embed: all but the names of those who speak in this memory."""
        async with self.corpora.statements(scope.key, space) as statements:
            return without_names(text, statements.names(statements.visible(as_of)))

    async def answer(self, scope: Scope, question: Question) -> Recalled:
        """Search the tiers in order and return what they found, with the first tier that sufficed."""
        moment = question.as_of
        experience = await self._experiences.of(scope.key, question.space)
        lifts = experience.lifts(question.vector, moment)
        async with self.corpora.statements(scope.key, question.space) as statements:
            shelves = await self._ledger.reading(_shelves, statements, question)
        async with self.corpora.categories(scope.key, question.space) as corpus:
            categories, quoted, themes = await self._ledger.reading(_categories, corpus, question, shelves)
        async with self.corpora.statements(scope.key, question.space) as statements:
            items, similar, sure = await self._ledger.reading(_items, statements, question, themes, lifts)
            if quoted and not question.exhaustive:
                first = [hit for hit in items if hit.id in set(quoted)]
                if first:
                    items = _before(first, items)
                    return Recalled(categories=categories, items=items, sufficient_at="category", as_of=moment)
        missing = _missing(question, [_searchable(hit) for hit in items[:_JUDGED_HITS]])
        enough = _suffices(question, missing, similar) if sure is None else sure >= ENOUGH
        if enough and not question.exhaustive:
            return Recalled(
                categories=categories, items=items, sufficient_at="item", confidence=_told(sure), as_of=moment
            )
        async with self.corpora.segments(scope.key, question.space) as corpus:
            resources, below = await self._ledger.reading(_resources, corpus, question)
        resources = await self._with_items(scope, question, resources)
        read = [*(_searchable(hit) for hit in items[:_JUDGED_HITS]), *(hit.text for hit in resources[:2])]
        missing = _missing(question, read)
        hopeless = sure is not None and sure < DOUBTFUL
        sufficed = not hopeless and _suffices(question, missing, max(similar, below))
        return Recalled(
            categories=categories,
            items=items,
            resources=resources,
            sufficient_at="item" if enough else "resource" if sufficed else None,
            confidence=_told(sure),
            as_of=moment,
            missing=tuple(sorted(missing)),
        )

    async def _with_items(
        self, scope: Scope, question: Question, hits: tuple[ResourceHit, ...]
    ) -> tuple[ResourceHit, ...]:
        """Name the statements that were extracted from each segment."""
        async with self.corpora.statements(scope.key, question.space) as statements:
            given = statements.given([hit.id for hit in hits], question.as_of)
        return tuple(hit.model_copy(update={"items": tuple(given[hit.id])}) for hit in hits)


def quoted_answers(asked: frozenset[str], files: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the cited items of the file lines that hold every content word of the question (two at least).

    ``files`` are texts with the ids that they cite.
    """
    if len(asked) < 2:  # noqa: PLR2004 - one word alone matches too easily
        return []
    found: list[str] = []
    for text, citations in files:
        for line in text.splitlines():
            said = line.partition(" [^")[0].rstrip()
            # A question that memory holds has all the words of the question, and no answer.
            if not said.endswith("?") and asked <= set(content_words(said)):
                found += [item for item in citations if f"[^{item}]" in line]
    return list(dict.fromkeys(found))


def _scored(corpus: Corpus, question: Question) -> tuple[Floats, Floats]:
    """Return the score of every file or segment by its vector and words (-inf: no match), and its similarity."""
    visible = corpus.visible(question.as_of)
    similarity, counted = corpus.near(question.vector, visible)
    words = corpus.text.match(question.words, visible)
    fused = _TIER_VECTOR * min_max(similarity, counted) + (1 - _TIER_VECTOR) * over_max(words.scores)
    scores: Floats = np.asarray(fused, np.float32)
    return np.where(visible & (counted | (words.scores > 0)), scores, -np.inf).astype(np.float32), similarity


def _shelves(statements: Statements, question: Question) -> dict[str, float]:
    """Return the score of each category by the best statements that it holds: see ``shelving``."""
    visible = statements.visible(question.as_of)
    similarity, counted = statements.near(question.vector, visible)
    near = nearest(similarity, counted, statements.context.match(question.words, visible).scores)
    return shelf_scores(near, lambda row: statements.categories_of(statements.ids[row], question.as_of))


def _categories(
    corpus: Corpus, question: Question, shelves: Mapping[str, float]
) -> tuple[tuple[CategoryHit, ...], list[str], dict[str, float]]:
    """Return the category hits, the items that answer by themselves where a file quotes them, and how each theme fits.

    Categories are ranked by their statements; those of which none is near come behind them, by their files.
    """
    scores, _ = _scored(corpus, question)
    held = np.asarray([shelves.get(one, 0.0) for one in corpus.ids], np.float32)
    held[~corpus.visible(question.as_of)] = 0
    by_statements = np.where(held > 0, held, scores - _BEHIND).astype(np.float32)
    ranked = enumerate(best(by_statements, question.top_k), start=1)
    hits = tuple(category_hit_of(corpus, int(row), round(float(by_statements[row]), 4), rank) for rank, row in ranked)
    top = float(scores.max(initial=0.0)) or 1.0
    themes = {corpus.ids[row]: float(scores[row]) / top for row in np.flatnonzero(scores > 0)}
    return hits, quoted_answers(question.words, [(hit.summary, hit.items) for hit in hits[:2]]), themes


def category_hit_of(corpus: Corpus, row: int, score: float = 0.0, rank: int = 1) -> CategoryHit:
    """Return a row of the category layer as a hit."""
    name, description, text, citations = cast("tuple[Any, ...]", corpus.shown[row])
    return CategoryHit(
        id=corpus.ids[row],
        name=name,
        description=description,
        summary=text,
        items=citations,
        score=score,
        rank=rank,
    )


def _before(first: Sequence[ItemHit], found: Sequence[ItemHit]) -> tuple[ItemHit, ...]:
    """Return the hits with those in front that a file quotes as the answer."""
    ids = {hit.id for hit in first}
    hits = [*first, *(hit for hit in found if hit.id not in ids)]
    return tuple(hit.model_copy(update={"rank": rank}) for rank, hit in enumerate(hits, start=1))


def _items(
    statements: Statements, question: Question, themes: Mapping[str, float], lifts: Mapping[str, float]
) -> tuple[tuple[ItemHit, ...], float, float | None]:
    """Return the item hits, the best similarity among the first of them, and the confidence in them."""
    visible = statements.visible(question.as_of)
    if not visible.any():
        return (), 0.0, None
    # What a newer statement replaced comes back beside that one.
    outdated = statements.outdated(question.as_of, visible)
    visible[list(outdated)] = True
    found = signals_of(statements, Asked(question.text, question.vector), visible)
    scores = np.where(visible, fuse(found.signals, found.short), -np.inf).astype(np.float32)
    added = _lifted(statements, best(scores, question.top_k + CONSIDERED), question.as_of, themes, lifts)
    for row, signals in added.items():
        scores[row] += sum(WEIGHTS[name].at(found.short) * value for name, value in signals.items())
    rows = pick(scores, statements.layout.messages, question.top_k)
    if outdated and not asks_about_the_past(question.text):
        rows = newer_first(rows, outdated)[: question.top_k]
    hits = tuple(
        item_hit_of(
            statements, row, question.as_of, float(scores[row]), rank, _present(found, row) | added.get(row, {})
        )
        for rank, row in enumerate(rows, start=1)
    )
    hits = tuple(
        hit.model_copy(update={"superseded_by": statements.ids[outdated[row]]}) if row in outdated else hit
        for hit, row in zip(hits, rows, strict=True)
    )
    judged = rows[:_JUDGED_HITS]
    sure = confidence(scores, max((float(found.coverage[row]) for row in judged), default=0.0))
    return hits, max((float(found.similarity[row]) for row in judged), default=0.0), sure


def _lifted(
    statements: Statements,
    rows: Iterable[int],
    as_of: int,
    themes: Mapping[str, float],
    lifts: Mapping[str, float],
) -> dict[int, dict[str, float]]:
    """Return what categories and feedback add to the candidates: how well its best theme fits, and past verdicts."""
    added: dict[int, dict[str, float]] = {}
    for row in map(int, rows):
        identifier = statements.ids[row]
        fits = max((themes.get(one, 0.0) for one in statements.categories_of(identifier, as_of)), default=0.0)
        told = {"category": round(fits, 4), "feedback": round(lifts.get(identifier, 0.0), 4)}
        added[row] = {name: value for name, value in told.items() if value}
    return added


def _present(found: Signalled, row: int) -> dict[str, float]:
    """Return what put a statement there, as a person would tell the signals apart; those that count for nothing are left out."""
    told: dict[str, float] = {}
    for name, signal in found.signals.items():
        if (value := round(float(signal[row]), 4)) > 0 and WEIGHTS[name].at(found.short) > 0:
            word = _TOLD.get(name, name)
            told[word] = max(value, told.get(word, 0.0))
    return told


def _resources(corpus: Corpus, question: Question) -> tuple[tuple[ResourceHit, ...], float]:
    """Return the segments, without their items, and the best similarity of the first two."""
    scores, similarity = _scored(corpus, question)
    rows = best(scores, question.top_k)
    hits = tuple(
        resource_hit_of(corpus, int(row), round(float(scores[row]), 4), rank) for rank, row in enumerate(rows, start=1)
    )
    return hits, max((float(similarity[row]) for row in rows[:2]), default=0.0)


def resource_hit_of(corpus: Corpus, row: int, score: float = 0.0, rank: int = 1) -> ResourceHit:
    """Return a row of the segment layer as a hit, without its items."""
    resource, name, unit, start, end, text, messages, time = cast("tuple[Any, ...]", corpus.shown[row])
    return ResourceHit(
        id=corpus.ids[row],
        resource_id=resource,
        name=name,
        text=text,
        span=Span(unit=unit, start=start, end=end),
        message_ids=tuple(messages or ()),
        time=time,
        items=(),
        score=score,
        rank=rank,
    )


def item_hit_of(
    statements: Statements,
    row: int,
    as_of: int,
    score: float = 0.0,
    rank: int = 1,
    signals: Mapping[str, float] | None = None,
) -> ItemHit:
    """Return a row of the item layer as a hit, with the sources and categories that it had at a moment."""
    identifier = statements.ids[row]
    kind, text, speaker, happened = statements.shown[row]
    return ItemHit(
        id=identifier,
        text=cast("str", text),
        kind=cast("Kind", kind),
        speaker=cast("str | None", speaker),
        happened=cast("Any", happened),
        sources=statements.sources_of(identifier, as_of),
        categories=statements.categories_of(identifier, as_of),
        score=round(score, 4),
        rank=rank,
        signals=dict(signals or {}),
    )


def _missing(question: Question, texts: Sequence[str]) -> set[str]:
    present = {word for text in texts for word in content_words(text)}
    return set(question.words - present)


def _told(sure: float | None) -> float | None:
    return None if sure is None else round(sure, 3)


def _suffices(question: Question, missing: set[str], similarity: float) -> bool:
    if not question.words:
        return similarity >= _SUFFICIENT_SIMILARITY
    coverage = 1 - len(missing) / len(question.words)
    return coverage >= _SUFFICIENT_COVERAGE and (question.vector is None or similarity >= _SUFFICIENT_SIMILARITY)


def _searchable(hit: ItemHit) -> str:
    return f"{spoken_date(hit.happened)} {hit.speaker or ''} {hit.text}"
