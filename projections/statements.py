"""The items of one user in memory: where they stand, who says them, what they come from and are filed under."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from sys import intern
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from memstream.events.payloads import Span, SpanUnit

from .corpus import Corpus, Fact, Flags, Floats, Integers
from .cues import is_question, is_standing, names_of, tells_when
from .models import SourceRef
from .terms import Terms, Vocabulary
from .words import content_words


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
        self._sources: dict[str, tuple[tuple[object, ...], ...]] = {}
        self._links: dict[str, tuple[tuple[object, ...], ...]] = {}
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
        self._sources[intern(item_id)] = (*self._sources.get(item_id, ()), tuple(told))
        self._of_segment.setdefault(told.segment_id, []).append((told.start, told.made, intern(item_id)))
        self._layout = None

    def file(self, item_id: str, filed: Filed) -> None:
        """Set an item's place in a category: a new one, or the end of a known one."""
        filed = filed._replace(category_id=intern(filed.category_id))
        others = (one for one in self._filed(item_id) if one[:2] != filed[:2])
        self._file(item_id, [*others, filed])

    def unfile(self, category_id: str, item_id: str, position: int) -> None:
        """End an item's place in a category that an earlier position gave it."""
        if held := self._filed(item_id):
            held = [
                one._replace(ended=position)
                if one.category_id == category_id and one.ended is None and one.made < position
                else one
                for one in held
            ]
            self._file(item_id, held)

    def _filed(self, item_id: str) -> list[Filed]:
        return [Filed(*one) for one in cast("Iterable[tuple[Any, ...]]", self._links.get(item_id, ()))]

    def _file(self, item_id: str, filed: Iterable[Filed]) -> None:
        self._links[intern(item_id)] = tuple(tuple(one) for one in filed)

    def _told(self, item_id: str) -> list[Told]:
        return [Told(*one) for one in cast("Iterable[tuple[Any, ...]]", self._sources.get(item_id, ()))]

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
        return tuple(one.source for one in self._told(item_id) if one.made <= as_of)

    def categories_of(self, item_id: str, as_of: int) -> tuple[str, ...]:
        """Return the categories that held an item at a moment."""
        held = self._filed(item_id)
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
            told = self._told(identifier)
            if not told:
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
