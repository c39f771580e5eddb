"""Rule-based extraction: statements verbatim, with speaker, time and source; no model, nothing reworded.

A statement's identity is its words, its speaker and, where it speaks of "yesterday", its day: the same statement
from two resources is one item with two sources, whichever worker comes first.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from memstream.events.ids import derived_id
from memstream.events.payloads import ExtractedItem, Kind, Skipped, Source, Span, Usage
from memstream.events.subjects import Scope
from memstream.projections.words import identity
from memstream.services.protocols import Embedder, Extraction, Material, Passage
from memstream.services.served import ServedStatements

from .echo import strip_echoes
from .kinds import kind_of
from .statements import Piece, is_small_talk, sentences, statements
from .themes import Classifier, Shelf, document_shelf, shelves
from .when import is_relative, resolve_time

_CONTEXT_CHARACTERS = 280


class _Statement(NamedTuple):
    passage: Passage
    text: str
    kind: Kind


class RuleExtractor:
    """Extracts by rules; the embedder only files statements under categories.

    ``per_sentence`` makes a statement of every sentence, instead of pieces of several that belong together.
    """

    def __init__(self, embedder: Embedder, *, per_sentence: bool = False) -> None:
        self._classifier = Classifier(embedder)
        self._split: Callable[[str], Iterable[Piece]] = sentences if per_sentence else statements
        self.name = "sentences-1" if per_sentence else "rules-1"

    async def extract(self, material: Material) -> Extraction:
        """Return an item, or a reason for none, for every passage."""
        started = time.perf_counter()
        found: list[_Statement] = []
        skipped: list[Skipped] = []
        # Only an agent echoes memory: a document that says the same again is a source of its own.
        served = material.served if material.modality == "conversation" else ServedStatements()
        for passage in material.passages:
            _read(passage, served, self._split, found, skipped)
        offered = shelves(material.scope, material.categories)
        filed = await self._classifier.file([one.text for one in found], [one.kind for one in found], offered)
        if material.modality == "document":
            own = document_shelf(material.scope, material.name)
            if any(one.id == own.category_id for one in material.categories):
                own = own._replace(created=None)
            filed = [(own, homes[0]) for homes in filed]
        used = {shelf.category_id: shelf for homes in filed for shelf in homes}
        items = [_item(material.scope, one, homes) for one, homes in zip(found, filed, strict=True)]
        return Extraction(
            items=merged(items),
            skipped=skipped,
            new_categories=[shelf.created for shelf in used.values() if shelf.created is not None],
            usage=Usage(seconds=round(time.perf_counter() - started, 6)),
        )


def merged(items: Sequence[ExtractedItem]) -> list[ExtractedItem]:
    """Join items of one identity: the first keeps its wording and gains the others' sources."""
    by_id: dict[str, ExtractedItem] = {}
    for item in items:
        first = by_id.get(item.id)
        by_id[item.id] = item if first is None else first.model_copy(update={"sources": first.sources + item.sources})
    return list(by_id.values())


def item_id_of(scope: Scope, text: str, speaker: str | None, day: str) -> str:
    """Return the id of a statement: scope, speaker, words, and the day when the words depend on it."""
    return derived_id(scope.key, "item", speaker or "", identity(text) or text.strip(), day)


def _read(
    passage: Passage,
    served: ServedStatements,
    split: Callable[[str], Iterable[Piece]],
    found: list[_Statement],
    skipped: list[Skipped],
) -> None:
    span = Span(unit=passage.segment.span.unit, start=passage.start, end=passage.end)
    own, echoes = strip_echoes(passage.text, passage.role, served)
    skipped += [Skipped(span=span, reason="echo of recalled memory", item_id=item) for item in echoes]
    before = len(found)
    found.extend(
        _Statement(passage, piece.text, kind_of(piece.text, spoken_by_user=passage.role == "user"))
        for piece in split(own)
        if not is_small_talk(piece.text)
    )
    if len(found) == before and not echoes:
        skipped.append(Skipped(span=span, reason="small talk" if passage.text.strip() else "no statement"))


def _item(scope: Scope, statement: _Statement, homes: tuple[Shelf, ...]) -> ExtractedItem:
    passage = statement.passage
    happened = resolve_time(statement.text, passage.time)
    day = f"{happened:%Y-%m-%d}" if happened and is_relative(statement.text) else ""
    return ExtractedItem(
        id=item_id_of(scope, statement.text, passage.speaker, day),
        kind=statement.kind,
        text=statement.text,
        context=_context(passage, statement.text),
        speaker=passage.speaker,
        happened=happened,
        categories=tuple(dict.fromkeys(shelf.category_id for shelf in homes)),
        sources=(_source(passage),),
    )


def _source(passage: Passage) -> Source:
    return Source(
        resource_id=passage.resource_id,
        segment_id=passage.segment.id,
        span=Span(unit=passage.segment.span.unit, start=passage.start, end=passage.end),
        message_ids=(passage.message_id,) if passage.message_id else (),
        time=passage.time,
    )


def _context(passage: Passage, text: str) -> str:
    """Return what full text may see beside the statement: what stood before, and the rest of a long message."""
    before = " ".join(passage.before.split())[-_CONTEXT_CHARACTERS:]
    place = passage.text.find(text)
    rest = " ".join(passage.text[:place].split())[-_CONTEXT_CHARACTERS:] if place > 0 else ""
    return " ".join(part for part in (before, rest) if part)
