"""The corpora that questions are asked of: loaded from both stores at the first question, kept up to date, and let go.

A corpus takes in what its user's memory gained since it was last asked, in one step, up to a committed position; a
user whose memory has not changed costs nothing. The least recently asked ones go when there are too many.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeVar

from memstream.events.payloads import Span

from .corpus import LIVE, Corpus, Fact, Filed, Statement, Statements, Told, Versions
from .index import Index
from .ledger import Ledger
from .models import SourceRef
from .terms import Vocabulary
from .words import content_words, spoken_date

Layer = Literal["item", "segment", "category"]
CorpusT = TypeVar("CorpusT", bound=Corpus)
# A hundred thousand items of a thousand users, and room for those of one more such user.
_BUDGET_BYTES: Final = 448 * 1024 * 1024


class _Key(NamedTuple):
    scope: str
    space: str | None
    layer: Layer


@dataclass
class _Held:
    corpus: Corpus
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    # The last position that changed this user's memory; what the corpus lacks begins behind its own position.
    changed: int = LIVE


class Corpora:
    """The corpora of one projection."""

    def __init__(self, ledger: Ledger, index: Index) -> None:
        self._ledger = ledger
        self._index = index
        self._held: OrderedDict[_Key, _Held] = OrderedDict()
        self._vocabulary = Vocabulary()

    def changed(self, scopes: Iterable[str], position: int, *, behind: bool) -> None:
        """Note whose memory a commit changed; ``behind`` a position that was reached before: those start anew."""
        named = set(scopes)
        for key in [key for key in self._held if key.scope in named]:
            if behind:
                del self._held[key]
            else:
                self._held[key].changed = position

    @asynccontextmanager
    async def statements(self, scope: str, space: str | None) -> AsyncIterator[Statements]:
        """Open a user's items."""
        async with self._open(_Key(scope, space, "item"), Statements, self._load_statements) as corpus:
            yield corpus

    @asynccontextmanager
    async def segments(self, scope: str, space: str | None) -> AsyncIterator[Corpus]:
        """Open a user's segments."""
        async with self._open(_Key(scope, space, "segment"), Corpus, _load_segments) as corpus:
            yield corpus

    @asynccontextmanager
    async def categories(self, scope: str, space: str | None) -> AsyncIterator[Corpus]:
        """Open a user's categories: a row for each version of a category's file."""
        async with self._open(_Key(scope, space, "category"), Versions, _load_categories) as corpus:
            yield corpus

    @asynccontextmanager
    async def _open(
        self, key: _Key, kind: Callable[[Vocabulary], CorpusT], load: "_Loader[CorpusT]"
    ) -> AsyncIterator[CorpusT]:
        held = self._held.get(key) or _Held(kind(self._vocabulary))
        self._held[key] = held
        self._held.move_to_end(key)
        # One question of a user's layer at a time: what is added meanwhile must not move under another's feet.
        async with held.lock:
            if held.changed > held.corpus.position:
                await self._refresh(key, held, kind, load)
            corpus: Any = held.corpus
            yield corpus

    async def _refresh(
        self, key: _Key, held: _Held, kind: Callable[[Vocabulary], CorpusT], load: "_Loader[CorpusT]"
    ) -> None:
        reached = self._ledger.position
        # The few rows of a category change their texts: they are loaded anew.
        corpus: Any = kind(self._vocabulary) if key.layer == "category" else held.corpus
        after = corpus.position
        _, found = await asyncio.gather(
            self._ledger.reading(load, self._ledger, corpus, key.scope, after, reached),
            self._index.vectors(key.scope, key.layer, key.space or "", after=after, until=reached),
        )
        if found[0]:
            await self._ledger.reading(corpus.embed, found[0], found[1], found[2])
        corpus.position = reached
        held.corpus = corpus
        if held.changed == LIVE:
            held.changed = reached
        self._make_room(key)

    def _make_room(self, kept: _Key) -> None:
        taken = sum(held.corpus.bytes for held in self._held.values())
        for key in list(self._held):
            if taken <= _BUDGET_BYTES:
                return
            if key != kept and not self._held[key].lock.locked():
                taken -= self._held.pop(key).corpus.bytes

    @staticmethod
    def _load_statements(ledger: Ledger, corpus: Statements, scope: str, after: int, until: int) -> None:
        _load_items(ledger, corpus, scope, after, until)
        _load_relations(ledger, corpus, scope, after, until)


_Loader = Callable[[Ledger, CorpusT, str, int, int], None]


def _load_items(ledger: Ledger, corpus: Statements, scope: str, after: int, until: int) -> None:
    rows = ledger.rows(
        "SELECT id, kind, text, context, speaker, happened, made, ended FROM items "
        "WHERE scope = ? AND made > ? AND made <= ? ORDER BY made, rowid",
        [scope, after, until],
    )
    corpus.state(
        [
            Statement(identifier, kind, text, context, speaker, spoken_date(happened), happened, made, ended)
            for identifier, kind, text, context, speaker, happened, made, ended in rows
        ]
    )
    if after:
        _load_endings(ledger, corpus, "items", scope, after, until)


def _load_endings(ledger: Ledger, corpus: Corpus, table: str, scope: str, after: int, until: int) -> None:
    ended = ledger.rows(
        f"SELECT id, made, ended FROM {table} WHERE scope = ? AND made <= ? AND ended > ? AND ended <= ?",
        [scope, after, after, until],
    )
    for identifier, made, end in ended:
        corpus.end(identifier, made, end)


def _load_relations(ledger: Ledger, corpus: Statements, scope: str, after: int, until: int) -> None:
    sources = ledger.rows(
        "SELECT item_id, resource_id, segment_id, unit, span_start, span_end, message_ids, time, made FROM sources "
        "WHERE scope = ? AND made > ? AND made <= ? ORDER BY made, span_start",
        [scope, after, until],
    )
    for row in sources:
        span = Span.model_construct(unit=row[3], start=row[4], end=row[5])
        source = SourceRef.model_construct(
            resource_id=row[1], segment_id=row[2], span=span, message_ids=tuple(row[6] or ()), time=row[7]
        )
        corpus.source(row[0], Told(source, row[8]))
    links = ledger.rows(
        "SELECT item_id, category_id, made, ended FROM links WHERE scope = ? AND made <= ? "
        "AND (made > ? OR ended > ?) ORDER BY made, category_id",
        [scope, until, after, after],
    )
    for item, category, made, ended in links:
        corpus.file(item, Filed(category, made, ended))


def _load_segments(ledger: Ledger, corpus: Corpus, scope: str, after: int, until: int) -> None:
    rows = ledger.rows(
        "SELECT s.id, s.resource_id, r.name, s.unit, s.span_start, s.span_end, s.text, s.message_ids, s.time, "
        "s.made, s.ended FROM segments s JOIN resources r ON r.scope = s.scope AND r.id = s.resource_id "
        "WHERE s.scope = ? AND s.made > ? AND s.made <= ? ORDER BY s.made, s.ordinal",
        [scope, after, until],
    )
    corpus.add(
        [
            Fact(row[0], tuple(row[1:9]), row[9], row[10], content_words(f"{spoken_date(row[8])} {row[6]}"))
            for row in rows
        ]
    )
    if after:
        _load_endings(ledger, corpus, "segments", scope, after, until)


def _load_categories(ledger: Ledger, corpus: Corpus, scope: str, after: int, until: int) -> None:
    del after
    files: dict[str, list[tuple[Any, ...]]] = {}
    for row in ledger.rows(
        "SELECT category_id, text, citations, made, ended FROM files WHERE scope = ? AND made <= ? ORDER BY made",
        [scope, until],
    ):
        files.setdefault(row[0], []).append(row)
    facts: list[Fact] = []
    for identifier, name, description, made, ended in ledger.rows(
        "SELECT id, name, description, made, ended FROM categories WHERE scope = ? AND made <= ? ORDER BY made, id",
        [scope, until],
    ):
        # Until its file is first written, a category is its name and what it is for.
        written = [
            ("", (), made, None),
            *((row[1], tuple(row[2]), row[3], row[4]) for row in files.get(identifier, ())),
        ]
        for place, (text, citations, begun, over) in enumerate(written):
            behind = written[place + 1][2] if place + 1 < len(written) else None
            start, end = max(made, begun), min(_or_live(ended), _or_live(over), _or_live(behind))
            if start < end:
                words = content_words(f"{name.replace('_', ' ')} {description} {text}")
                facts.append(Fact(identifier, (name, description, text, citations), start, end, words))
    corpus.add(sorted(facts, key=lambda one: one.made))


def _or_live(position: int | None) -> int:
    return LIVE if position is None else position
