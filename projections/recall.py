"""Recall: category, item, resource; each tier searched in turn, until one suffices.

Vectors and full text are fused per tier (see ``ranking``). Needs no language model: whether a tier suffices is
judged by how much of what the question asks about its best hits contain.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memstream.events.subjects import Scope

from .index import Index, Match
from .ledger import Ledger
from .models import CategoryFile, CategoryHit, Item, ItemHit, Recalled, ResourceHit, Segment
from .ranking import WEIGHTS, Signals, fuse, ranked
from .reader import Reader
from .words import content_words, words

# How deep each search looks before fusion; more changed nothing in the first ten.
_DEPTH = 200
# A category has a row for each version of its file; only the newest counts.
_CATEGORY_DEPTH = 2_000
# Share of the question's content words that the best hits must contain to be called sufficient.
_SUFFICIENT_COVERAGE = 0.75
_SUFFICIENT_SIMILARITY = 0.35
_JUDGED_HITS = 5


@dataclass(frozen=True)
class Question:
    """What is asked: the text (rewritten if need be), its vector, and how many hits each tier may return.

    ``as_of`` is the log position to answer for.
    """

    text: str
    space: str | None
    vector: NDArray[np.float32] | None
    as_of: int
    # Newer rows than ``as_of`` exist: they must not take the places of older ones.
    past: bool = False
    top_k: int = 10
    # A caller that wants every tier, whatever the first ones found.
    exhaustive: bool = False
    words: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", frozenset(content_words(self.text)))


@dataclass(frozen=True)
class Ranked:
    """A tier's candidates: signals by id, and the raw cosine similarities."""

    signals: dict[str, Signals]
    similarity: dict[str, float]

    def best(self, count: int) -> list[tuple[str, float]]:
        """Return the first ids with their scores."""
        return ranked(self.signals)[:count]


class Recall:
    """Answers questions from one projection."""

    def __init__(self, ledger: Ledger, index: Index) -> None:
        self._ledger = ledger
        self._index = index

    async def answer(self, scope: Scope, question: Question) -> Recalled:
        """Search the tiers in order and return what they found, with the first tier that sufficed."""
        moment = question.as_of
        reader = Reader(self._ledger, scope, moment)
        categories, quoted = await self._categories(scope, question, reader)
        items = [] if question.exhaustive else await self._ledger.reading(reader.items, ids=quoted[: question.top_k])
        if items:
            hits = tuple(_item_hit(item, 1.0, rank, {"category": 1.0}) for rank, item in enumerate(items, start=1))
            return Recalled(categories=tuple(categories), items=hits, sufficient_at="category", as_of=moment)
        items_found, similar = await self._items(scope, question, reader)
        missing = self._missing(question, [_searchable(hit) for hit in items_found[:_JUDGED_HITS]])
        enough = self._suffices(question, missing, similar)
        if enough and not question.exhaustive:
            return Recalled(categories=tuple(categories), items=tuple(items_found), sufficient_at="item", as_of=moment)
        resources, similar_below = await self._resources(scope, question, reader)
        texts = [_searchable(hit) for hit in items_found[:_JUDGED_HITS]]
        missing_below = self._missing(question, [*texts, *(hit.text for hit in resources[:2])])
        below = self._suffices(question, missing_below, max(similar, similar_below))
        return Recalled(
            categories=tuple(categories),
            items=tuple(items_found),
            resources=tuple(resources),
            sufficient_at="item" if enough else "resource" if below else None,
            as_of=moment,
            missing=tuple(sorted(missing_below)),
        )

    async def _search(
        self, scope: Scope, layer: str, question: Question, depth: int, current: dict[str, set[int]] | None = None
    ) -> Ranked:
        """Search one layer both ways at once and fuse; rows newer than the question's moment are left out.

        ``current`` names the only rows of an id that count: for ids that have several.
        """
        moment = question.as_of
        until = moment if question.past else None
        # Statements do not change: a space that was filled later still finds those of the moment.
        younger = question.past and current is None and await self._began_later(question)

        def counts(match: Match) -> bool:
            return match.position <= moment and (current is None or match.position in current.get(match.id, ()))

        async def near() -> list[Match]:
            if question.vector is None or question.space is None:
                return []
            return await self._index.search_vector(
                scope.key, layer, question.space, question.vector, depth, until=None if younger else until
            )

        by_vector, by_text = await asyncio.gather(
            near(), self._index.search_text(scope.key, layer, question.text, depth, until=until)
        )
        similarity = _newest(by_vector if younger else filter(counts, by_vector))
        return Ranked(fuse(similarity, _newest(filter(counts, by_text))), similarity)

    async def _began_later(self, question: Question) -> bool:
        """Tell whether the question's space has no vector from its moment."""
        rows = await self._ledger.reading(
            self._ledger.rows, "SELECT min(made) FROM vectors WHERE space = ?", [question.space]
        )
        return rows[0][0] is None or int(rows[0][0]) > question.as_of

    async def _categories(
        self, scope: Scope, question: Question, reader: Reader
    ) -> tuple[list[CategoryHit], list[str]]:
        """Return the category hits, and the items that answer by themselves where a file quotes them."""
        current = await self._ledger.reading(reader.category_versions)
        found = await self._search(scope, "category", question, _CATEGORY_DEPTH, current)
        best = found.best(question.top_k)
        ids = [identifier for identifier, _ in best]
        categories, files = await self._ledger.reading(
            lambda: (
                reader.names(ids),
                {one.category_id: one for one in reader.files(ids=ids)},
            )
        )
        hits: list[CategoryHit] = []
        for identifier, score in best:
            if identifier not in categories:
                continue
            name, description = categories[identifier]
            file = files.get(identifier)
            hits.append(
                CategoryHit(
                    id=identifier,
                    name=name,
                    description=description,
                    summary=file.text if file else "",
                    items=file.citations if file else (),
                    score=round(score, 4),
                    rank=len(hits) + 1,
                )
            )
        return hits, quoted_answers(question.words, [files[hit.id] for hit in hits[:2] if hit.id in files])

    async def _items(self, scope: Scope, question: Question, reader: Reader) -> tuple[list[ItemHit], float]:
        found = await self._search(scope, "item", question, _DEPTH)
        candidates = [identifier for identifier, _ in found.best(max(4 * question.top_k, 60))]
        items = {item.id: item for item in await self._ledger.reading(reader.items, ids=candidates)}
        signals = with_context({key: found.signals[key] for key in items}, items, question.text)
        hits = [
            _item_hit(items[identifier], score, rank, signals[identifier].present())
            for rank, (identifier, score) in enumerate(ranked(signals)[: question.top_k], start=1)
        ]
        return hits, max((found.similarity.get(hit.id, 0.0) for hit in hits[:_JUDGED_HITS]), default=0.0)

    async def _resources(self, scope: Scope, question: Question, reader: Reader) -> tuple[list[ResourceHit], float]:
        found = await self._search(scope, "segment", question, _DEPTH)
        best = found.best(question.top_k)
        ids = [identifier for identifier, _ in best]
        segments, given = await self._ledger.reading(
            lambda: ({one.id: one for one in reader.segments(ids=ids)}, reader.items_of_segments(ids))
        )
        hits: list[ResourceHit] = []
        for identifier, score in best:
            if (segment := segments.get(identifier)) is not None:
                hits.append(_resource_hit(segment, given.get(identifier, []), score, len(hits) + 1))
        return hits, max((found.similarity.get(hit.id, 0.0) for hit in hits[:2]), default=0.0)

    @staticmethod
    def _missing(question: Question, texts: Sequence[str]) -> set[str]:
        present = {word for text in texts for word in content_words(text)}
        return set(question.words - present)

    @staticmethod
    def _suffices(question: Question, missing: set[str], similarity: float) -> bool:
        if not question.words:
            return similarity >= _SUFFICIENT_SIMILARITY
        coverage = 1 - len(missing) / len(question.words)
        return coverage >= _SUFFICIENT_COVERAGE and (question.vector is None or similarity >= _SUFFICIENT_SIMILARITY)


def quoted_answers(asked: frozenset[str], files: Sequence[CategoryFile]) -> list[str]:
    """Return the cited items of the file lines that hold every content word of the question (two at least)."""
    if len(asked) < 2:  # noqa: PLR2004 - one word alone matches too easily
        return []
    found: list[str] = []
    for file in files:
        for line in file.text.splitlines():
            said = line.partition(" [^")[0].rstrip()
            # A question that memory holds has all the words of the question, and no answer.
            if not said.endswith("?") and asked <= set(content_words(said)):
                found += [item for item in file.citations if f"[^{item}]" in line]
    return list(dict.fromkeys(found))


def with_context(signals: dict[str, Signals], items: dict[str, Item], query: str) -> dict[str, Signals]:
    """Add what the candidates say about each other: who is named in the query, and good neighbours."""
    asked = set(words(query)) | {word.removesuffix("'s") for word in words(query)}
    own = {key: one.score() for key, one in signals.items()}
    places = {(source.segment_id, source.span.start): key for key, item in items.items() for source in item.sources}
    result = {}
    for key, one in signals.items():
        item = items[key]
        named = bool(item.speaker) and bool(set(words(item.speaker or "")) & asked)
        beside = [
            own[places[source.segment_id, place]]
            for source in item.sources
            for place in (source.span.start - 1, source.span.start + 1)
            if (source.segment_id, place) in places
        ]
        share = min(1.0, max(beside, default=0.0) / (WEIGHTS.vector + WEIGHTS.text))
        result[key] = one._replace(speaker=float(named), neighbour=share)
    return result


def _newest(matches: Iterable[Match]) -> dict[str, float]:
    """Return the score of each id's newest row: a revised item has one for each wording."""
    newest: dict[str, Match] = {}
    for match in matches:
        if match.id not in newest or newest[match.id].position < match.position:
            newest[match.id] = match
    return {identifier: match.score for identifier, match in newest.items()}


def _searchable(hit: ItemHit) -> str:
    when = f"{hit.happened:%d %B %Y}" if hit.happened else ""
    return f"{when} {hit.speaker or ''} {hit.text}"


def _item_hit(item: Item, score: float, rank: int, signals: dict[str, float]) -> ItemHit:
    return ItemHit(
        id=item.id,
        text=item.text,
        kind=item.kind,
        speaker=item.speaker,
        happened=item.happened,
        sources=item.sources,
        categories=item.categories,
        score=round(score, 4),
        rank=rank,
        signals=signals,
    )


def _resource_hit(segment: Segment, items: Sequence[str], score: float, rank: int) -> ResourceHit:
    return ResourceHit(
        id=segment.id,
        resource_id=segment.resource_id,
        name=segment.resource_name,
        text=segment.text,
        span=segment.span,
        message_ids=segment.message_ids,
        time=segment.time,
        items=tuple(items),
        score=round(score, 4),
        rank=rank,
    )
