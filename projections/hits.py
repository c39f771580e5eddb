"""Rows of the three layers as hits: what a user is shown of a category, a statement, a segment."""

from collections.abc import Mapping
from typing import Any, cast

from memstream.events.payloads import Kind, Span

from .corpus import Corpus
from .models import CategoryHit, ItemHit, ResourceHit
from .statements import Statements


def category_hit_of(corpus: Corpus, row: int, score: float = 0.0, rank: int = 1) -> CategoryHit:
    """Return a row of the category layer as a hit."""
    name, description, text, citations, _ = cast("tuple[Any, ...]", corpus.shown[row])
    return CategoryHit(
        id=corpus.ids[row],
        name=name,
        description=description,
        summary=text,
        items=citations,
        score=score,
        rank=rank,
    )


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
