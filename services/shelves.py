"""What there is to read in a memory, layer by layer, the likeliest first: by words alone, without embeddings."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from memstream.events.payloads import Layer
from memstream.events.subjects import Scope
from memstream.projections.corpus import Corpus
from memstream.projections.hits import category_hit_of, item_hit_of, resource_hit_of
from memstream.projections.live import Projection
from memstream.projections.models import CategoryHit, ItemHit, ResourceHit
from memstream.projections.statements import Statements
from memstream.projections.words import content_words

# A file longer than this is read from its beginning; its items are in the next layer.
_FILE_CHARACTERS = 6_000


class Entry(NamedTuple):
    """Something to read: its id, its text, and the hit that it becomes when it helps."""

    id: str
    text: str
    hit: CategoryHit | ItemHit | ResourceHit


class Shelf(Protocol):
    """One user's memory, as something to be read."""

    async def entries(self, layer: Layer, query: str, above: Sequence[str]) -> list[Entry]:
        """Return a layer's entries, the likeliest first; those below what was found above come before all others."""
        ...


class ProjectedShelf:
    """The memory of one user in one projection, as of a moment; ``space`` names which corpora are open already."""

    def __init__(self, at: Projection, scope: Scope, space: str | None, as_of: int) -> None:
        self._at = at
        self._scope = scope.key
        self._space = space
        self._as_of = as_of

    async def entries(self, layer: Layer, query: str, above: Sequence[str]) -> list[Entry]:
        """Return a layer's entries; see ``Shelf``."""
        corpora, ledger = self._at.recall.corpora, self._at.ledger
        wanted = frozenset(content_words(query))
        if layer == "category":
            async with corpora.categories(self._scope, self._space) as corpus:
                return await ledger.reading(self._files, corpus, wanted)
        if layer == "item":
            async with corpora.statements(self._scope, self._space) as statements:
                return await ledger.reading(self._items, statements, wanted, set(above))
        async with corpora.statements(self._scope, self._space) as statements:
            sources = {source.segment_id for one in above for source in statements.sources_of(one, self._as_of)}
        async with corpora.segments(self._scope, self._space) as corpus:
            found = await ledger.reading(self._segments, corpus, wanted, sources)
        async with corpora.statements(self._scope, self._space) as statements:
            given = statements.given([one.id for one in found], self._as_of)
        return [one._replace(hit=one.hit.model_copy(update={"items": tuple(given[one.id])})) for one in found]

    def _files(self, corpus: Corpus, wanted: frozenset[str]) -> list[Entry]:
        rows = _ordered(corpus, wanted, self._as_of, [])
        hits = [category_hit_of(corpus, row) for row in rows]
        return [Entry(hit.id, _file(hit), hit) for hit in hits]

    def _items(self, statements: Statements, wanted: frozenset[str], above: set[str]) -> list[Entry]:
        first = [
            row
            for row in np.flatnonzero(statements.visible(self._as_of)).tolist()
            if above & set(statements.categories_of(statements.ids[row], self._as_of))
        ]
        rows = _ordered(statements, wanted, self._as_of, first)
        hits = [item_hit_of(statements, row, self._as_of) for row in rows]
        return [Entry(hit.id, _statement(hit), hit) for hit in hits]

    def _segments(self, corpus: Corpus, wanted: frozenset[str], sources: set[str]) -> list[Entry]:
        visible = corpus.visible(self._as_of)
        rows = _ordered(corpus, wanted, self._as_of, corpus.rows_of(sorted(sources), visible))
        hits = [resource_hit_of(corpus, row) for row in rows]
        return [
            Entry(hit.id, f"{hit.name}{f', {hit.time:%Y-%m-%d}' if hit.time else ''}\n{hit.text}", hit) for hit in hits
        ]


def _ordered(corpus: Corpus, wanted: frozenset[str], as_of: int, first: Sequence[int]) -> list[int]:
    """Return the visible rows: those that come first, then those with the question's words, then the newest."""
    visible = corpus.visible(as_of)
    scores = np.asarray(corpus.text.match(wanted, visible).scores, np.float64)
    scores[list(first)] += 1 + float(scores.max(initial=0.0))
    rows = np.flatnonzero(visible)
    order = np.lexsort((-rows, -scores[rows]))
    return [int(row) for row in rows[order]]


def _file(hit: CategoryHit) -> str:
    text = hit.summary.strip() or f"# {hit.name}\n\n{hit.description}"
    return text if len(text) <= _FILE_CHARACTERS else f"{text[:_FILE_CHARACTERS]}\n(and more)"


def _statement(hit: ItemHit) -> str:
    who = ", ".join(part for part in (f"{hit.happened:%Y-%m-%d}" if hit.happened else "", hit.speaker or "") if part)
    return f"{f'({who}) ' if who else ''}{' '.join(hit.text.split())}"
