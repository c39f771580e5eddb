"""One layer of one user's memory in memory, as arrays: what recall scores in one go, at any moment of its past.

Rows are only added, and ended; each knows the positions of both, so one corpus answers for every moment.
"""

from collections.abc import Sequence
from datetime import date, datetime
from sys import intern
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstream.events.payloads import Span, SpanUnit

from .cues import is_question, is_standing, names_of, tells_when
from .models import SourceRef
from .terms import Terms, Vocabulary
from .words import content_words

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

LIVE: Final = np.iinfo(np.int64).max
# What a row's facts, with their sources and links, take beside the arrays.
_ROW_BYTES = 2_000
# So many rows: below, room that is not used costs more than copying.
_LARGE = 1_000


class Fact(NamedTuple):
    """A segment, or a category with one version of its file: an id, and what a hit shows of it."""

    id: str
    shown: tuple[object, ...]
    made: int
    ended: int | None
    words: list[str]


class Filed(NamedTuple):
    """An item's place in a category, from a position to another one."""

    category_id: str
    made: int
    ended: int | None


class Told(NamedTuple):
    """A source of an item, known from a position on; a tuple, as there are hundreds of thousands."""

    resource_id: str
    segment_id: str
    unit: SpanUnit
    start: int
    end: int
    message_ids: tuple[str, ...]
    time: datetime | None
    made: int

    @property
    def source(self) -> SourceRef:
        """The source as a hit shows it."""
        return SourceRef(
            resource_id=self.resource_id,
            segment_id=self.segment_id,
            span=Span(unit=self.unit, start=self.start, end=self.end),
            message_ids=self.message_ids,
            time=self.time,
        )


class Corpus:
    """Rows of one layer: ids, lifetimes, vectors and full text."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.position = 0
        self.ids: list[str] = []
        self.shown: list[tuple[object, ...]] = []
        self.text = Terms(vocabulary)
        self._made = np.zeros(0, np.int64)
        self._ended = np.zeros(0, np.int64)
        self._vectors = np.zeros((0, 0), np.float32)
        self._embedded = np.zeros(0, np.bool_)
        self._rows: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> int:
        """About how much memory this takes."""
        return self._vectors.nbytes + self.text.bytes + _ROW_BYTES * len(self)

    def visible(self, as_of: int) -> Flags:
        """Tell which rows live at a moment."""
        return (self._made <= as_of) & (self._ended > as_of)

    def add(self, facts: Sequence[Fact]) -> None:
        """Add rows, in the order in which they were made."""
        first = len(self)
        self.ids += [intern(one.id) for one in facts]
        self.shown += [one.shown for one in facts]
        self.text.extend(one.words for one in facts)
        self._made = np.concatenate([self._made, np.asarray([one.made for one in facts], np.int64)])
        ended = [LIVE if one.ended is None else one.ended for one in facts]
        self._ended = np.concatenate([self._ended, np.asarray(ended, np.int64)])
        self._embedded = np.concatenate([self._embedded, np.zeros(len(facts), np.bool_)])
        self._vectors = _grown(self._vectors, len(self))
        for row, fact in enumerate(facts, start=first):
            known = self._rows.setdefault(intern(fact.id), [])
            if known and self._embedded[known[-1]]:
                # Another wording of a statement keeps the vector of the first.
                self._vectors[row], self._embedded[row] = self._vectors[known[-1]], True
            known.append(row)

    def end(self, identifier: str, made: int, ended: int) -> None:
        """End the row of an id that a position made."""
        for row in self._rows.get(identifier, ()):
            if self._made[row] == made:
                self._ended[row] = ended

    def close(self, identifier: str, position: int) -> None:
        """End the live row of an id that an earlier position made."""
        for row in self._rows.get(identifier, ()):
            if self._ended[row] == LIVE and self._made[row] < position:
                self._ended[row] = position

    def embed(self, ids: Sequence[str], positions: Sequence[int], vectors: Floats) -> None:
        """Set the vectors of all rows of some ids, oldest first; unknown ids are passed over."""
        pairs = [(row, place) for place, one in enumerate(ids) for row in self._meant(one, positions[place])]
        if not pairs:
            return
        if self._vectors.shape[1] != vectors.shape[1]:
            self._vectors = np.zeros((len(self._vectors), vectors.shape[1]), np.float32)
        rows, places = (np.asarray(one, np.int64) for one in zip(*pairs, strict=True))
        lengths = np.linalg.norm(vectors[places], axis=1, keepdims=True)
        self._vectors[rows] = vectors[places] / np.maximum(lengths, 1e-12)
        self._embedded[rows] = True

    def _meant(self, identifier: str, position: int) -> Sequence[int]:
        """Return the rows that a vector of a position is for: a statement's words have one vector, whenever made."""
        del position
        return self._rows.get(identifier, ())

    def near(self, vector: Floats | None, visible: Flags) -> tuple[Floats, Flags]:
        """Return each row's cosine similarity to a vector, and which rows have one."""
        counted = visible & self._embedded
        if vector is None or self._vectors.shape[1] != len(vector):
            return np.zeros(len(self), np.float32), np.zeros(len(self), np.bool_)
        unit = np.asarray(vector, np.float32) / max(float(np.linalg.norm(vector)), 1e-12)
        similarity: Floats = np.asarray(self._vectors[: len(self)] @ unit, np.float32)
        return similarity, counted

    def rows_of(self, ids: Sequence[str], visible: Flags) -> list[int]:
        """Return the visible rows of some ids, in the order of the ids."""
        return [row for one in ids for row in self._rows.get(one, ()) if visible[row]]


class Segments(Corpus):
    """Segments, with the names of the resources that they are of."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self.names: dict[str, str] = {}


class Versions(Corpus):
    """Categories, a row for each version of a file: a vector is of the version that lived when it was made."""

    def latest(self, identifier: str) -> tuple[object, ...] | None:
        """Return what a hit shows of a category's last version; None when nobody knows it."""
        known = self._rows.get(identifier)
        return self.shown[known[-1]] if known else None

    def evolved(self, identifier: str) -> bool:
        """Tell whether evolution made a category."""
        shown = self.latest(identifier)
        return shown is not None and shown[4] == "evolution"

    def embed(self, ids: Sequence[str], positions: Sequence[int], vectors: Floats) -> None:
        """Set vectors one by one, oldest first: each replaces the one before in what still lived then."""
        for place in range(len(positions)):
            super().embed(ids[place : place + 1], positions[place : place + 1], vectors[place : place + 1])

    def _meant(self, identifier: str, position: int) -> Sequence[int]:
        rows = self._rows.get(identifier, ())
        return [row for row in rows if self._ended[row] > position or not self._embedded[row]]


class Statement(NamedTuple):
    """An item as it is loaded: the row of its table."""

    id: str
    kind: str
    text: str
    context: str
    speaker: str | None
    day: str
    happened: object
    made: int
    ended: int | None


class Layout(NamedTuple):
    """Where statements stand: each row's message, and of each message its session and neighbours.

    Messages are numbered as they were said, resource by resource; ``follows`` tells that a message stands right behind
    the one before it, in the same resource.
    """

    messages: Integers
    session_of: Integers
    follows: Flags
    # The day on which each row was said, as an ordinal; 0 when nobody knows.
    days: Integers


class Statements(Corpus):
    """The items of one user, with what their neighbours, speakers and sessions say about them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self.context = Terms(vocabulary)
        self.sources: dict[str, list[Told]] = {}
        self.links: dict[str, list[Filed]] = {}
        # Of each segment, its items: their places in it, and the positions that told of them.
        self._of_segment: dict[str, list[tuple[int, int, str]]] = {}
        # What a newer statement has replaced or contradicted, and by which one.
        self._outdated: dict[str, str] = {}
        self.words = np.zeros(0, np.int64)
        self.tells_when = np.zeros(0, np.float32)
        self.states = np.zeros(0, np.float32)
        self.standing = np.zeros(0, np.float32)
        self.speaker = np.zeros(0, np.int64)
        self.speakers: list[str | None] = []
        self._layout: Layout | None = None

    @property
    def bytes(self) -> int:
        """About how much memory this takes."""
        return super().bytes + self.context.bytes

    def state(self, found: Sequence[Statement]) -> None:
        """Add items; their sources may be added before or after."""
        self._layout = None
        texts = [content_words(one.text) for one in found]
        self.add(
            [
                Fact(one.id, (one.kind, one.text, one.speaker, one.happened), one.made, one.ended, text)
                for one, text in zip(found, texts, strict=True)
            ]
        )
        self.context.extend(
            [*content_words(f"{one.day} {one.context} {one.speaker or ''}"), *text]
            for one, text in zip(found, texts, strict=True)
        )
        self.words = np.concatenate([self.words, np.asarray([len(one.text.split()) for one in found], np.int64)])
        self.tells_when = _with(self.tells_when, [tells_when(one.text) for one in found])
        self.states = _with(self.states, [not is_question(one.text) for one in found])
        self.standing = _with(self.standing, [is_standing(one.text, one.speaker) for one in found])
        known = {name: number for number, name in enumerate(self.speakers)}
        numbers = [known.setdefault(one.speaker, len(known)) for one in found]
        self.speakers = list(known)
        self.speaker = np.concatenate([self.speaker, np.asarray(numbers, np.int64)])

    def source(self, item_id: str, told: Told) -> None:
        """Add a source of an item."""
        # Each name is kept once, however many rows it comes with.
        told = told._replace(resource_id=intern(told.resource_id), segment_id=intern(told.segment_id))
        self.sources.setdefault(intern(item_id), []).append(told)
        self._of_segment.setdefault(told.segment_id, []).append((told.start, told.made, intern(item_id)))
        self._layout = None

    def file(self, item_id: str, filed: Filed) -> None:
        """Set an item's place in a category: a new one, or the end of a known one."""
        held = self.links.setdefault(intern(item_id), [])
        filed = filed._replace(category_id=intern(filed.category_id))
        held[:] = [one for one in held if (one.category_id, one.made) != filed[:2]] + [filed]

    def unfile(self, category_id: str, item_id: str, position: int) -> None:
        """End an item's place in a category that an earlier position gave it."""
        held = self.links.get(item_id, [])
        held[:] = [
            one._replace(ended=position)
            if one.category_id == category_id and one.ended is None and one.made < position
            else one
            for one in held
        ]

    def outdate(self, item_id: str, reason: str | None, successor: str | None) -> None:
        """Note why an item ended; only what another statement replaced or contradicted is told beside that one."""
        if successor is not None and (reason or "").startswith(("replaced:", "contradicted:")):
            self._outdated[intern(item_id)] = intern(successor)

    def outdated(self, as_of: int, visible: Flags) -> dict[int, int]:
        """Return the rows that had been replaced or contradicted at a moment, and the visible row that did so."""
        found: dict[int, int] = {}
        for identifier, successor in self._outdated.items():
            ended = [row for row in self._rows.get(identifier, ()) if self._ended[row] <= as_of]
            heirs = self.rows_of([successor], visible)
            if ended and heirs and not self.rows_of([identifier], visible):
                found[ended[-1]] = heirs[-1]
        return found

    def sources_of(self, item_id: str, as_of: int) -> tuple[SourceRef, ...]:
        """Return the sources that an item had at a moment."""
        return tuple(one.source for one in self.sources.get(item_id, ()) if one.made <= as_of)

    def categories_of(self, item_id: str, as_of: int) -> tuple[str, ...]:
        """Return the categories that held an item at a moment."""
        held = self.links.get(item_id, ())
        return tuple(one.category_id for one in held if one.made <= as_of and (one.ended is None or one.ended > as_of))

    def given(self, segments: Sequence[str], as_of: int) -> dict[str, list[str]]:
        """Return the items that lived at a moment and come from some segments, in the order of their places."""
        visible = self.visible(as_of)
        found: dict[str, list[str]] = {}
        for segment in segments:
            told = sorted({(start, item) for start, made, item in self._of_segment.get(segment, ()) if made <= as_of})
            found[segment] = [item for _, item in told if self.rows_of([item], visible)]
        return found

    def speaking(self, visible: Flags) -> list[str | None]:
        """Return who says the visible statements."""
        speaks = np.bincount(self.speaker[visible], minlength=len(self.speakers)) > 0
        return [name for name, one in zip(self.speakers, speaks, strict=True) if one]

    def names(self, visible: Flags) -> frozenset[str]:
        """Return the words of the names of those who speak."""
        return names_of(self.speaking(visible))

    @property
    def layout(self) -> Layout:
        """Where the statements stand."""
        if self._layout is None:
            self._layout = self._laid_out()
        return self._layout

    def _laid_out(self) -> Layout:
        resources: dict[str, int] = {}
        sessions: dict[tuple[str, date | None], int] = {}
        places = np.zeros((len(self), 3), np.int64)
        days = np.zeros(len(self), np.int64)
        for row, identifier in enumerate(self.ids):
            told = self.sources.get(identifier)
            if told is None:
                places[row] = (resources.setdefault(identifier, len(resources)), 0, -1)
                continue
            source = told[0]
            day = source.time.date() if source.time else None
            days[row] = day.toordinal() if day else 0
            places[row] = (
                resources.setdefault(source.resource_id, len(resources)),
                source.start,
                sessions.setdefault((source.resource_id, day), len(sessions)),
            )
        order = np.lexsort((places[:, 1], places[:, 0]))
        ordered = places[order]
        fresh = np.ones(len(self), np.bool_)
        fresh[1:] = (ordered[1:, :2] != ordered[:-1, :2]).any(axis=1)
        messages = np.zeros(len(self), np.int64)
        messages[order] = np.cumsum(fresh) - 1
        firsts = ordered[fresh]
        follows = np.zeros(len(firsts), np.bool_)
        follows[1:] = firsts[1:, 0] == firsts[:-1, 0]
        # Numbered in the order of their messages, so that each session is one run of them.
        _, session_of = np.unique(np.cumsum(_turns(firsts)), return_inverse=True)
        return Layout(messages, session_of, follows, days)


def _turns(firsts: Integers) -> NDArray[np.int64]:
    turned = np.ones(len(firsts), np.int64)
    turned[1:] = (firsts[1:, 0] != firsts[:-1, 0]) | (firsts[1:, 2] != firsts[:-1, 2])
    return turned


def _with(flags: Floats, more: Sequence[bool]) -> Floats:
    return np.concatenate([flags, np.asarray(more, np.float32)])


def _grown(vectors: Floats, rows: int) -> Floats:
    """Return a matrix with room for so many rows; a large one doubles, so that adding one by one stays cheap."""
    if len(vectors) >= rows:
        return vectors
    room = max(rows, 2 * len(vectors)) if len(vectors) > _LARGE else rows
    grown = np.zeros((room, vectors.shape[1]), np.float32)
    grown[: len(vectors)] = vectors
    return grown
