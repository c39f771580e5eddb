"""The corpora that questions are asked of: loaded from both stores at the first question, kept up to date, and let go.

What a commit brings to a user's memory waits beside that user's corpora until the next question, which takes it in
without asking the stores. The least recently asked ones go when there are too many.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeVar

from .changes import Changes
from .corpus import LIVE, Corpus, Fact, Segments, Versions
from .filling import Gain, Heading, add_segments, add_statements, gains, take, tells_all, version
from .index import Index
from .ledger import Ledger
from .statements import Statements
from .terms import Vocabulary

Layer = Literal["item", "segment", "category"]
CorpusT = TypeVar("CorpusT", bound=Corpus)
# A hundred thousand items of a thousand users, and room for those of one more such user.
_BUDGET_BYTES: Final = 448 * 1024 * 1024
# What each layer is made of.
_TABLES: Final[dict[str, frozenset[str]]] = {
    "item": frozenset({"items", "sources", "links"}),
    "segment": frozenset({"segments", "resources"}),
    "category": frozenset({"categories", "files"}),
}
# More rows than this are taken in by a thread, and beyond the other number read from the stores when they are needed:
# what waits for the questions of users who do not ask takes memory.
_AT_ONCE, _WAITING = 200, 1_000


class _Key(NamedTuple):
    scope: str
    space: str | None
    layer: Layer


@dataclass
class _Held:
    corpus: Corpus
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Something of it is in the stores alone: everything, at first.
    stale: bool = True
    waiting: list[Gain] = field(default_factory=list)
    rows: int = 0
    # What it counted for when that was last looked at.
    bytes: int = 0

    def wait(self, gain: Gain) -> None:
        """Keep what a commit brought until the next question; what is not kept is in the stores."""
        if self.stale:
            return
        known = not isinstance(self.corpus, Versions) or tells_all(self.corpus, gain)
        self.waiting.append(gain)
        self.rows += gain.size
        if not known or self.rows > _WAITING:
            self.taken()
            self.stale = True

    def taken(self) -> list[Gain]:
        """Return what waited; nothing waits any more."""
        waiting, self.waiting, self.rows = self.waiting, [], 0
        return waiting


class Corpora:
    """The corpora of one projection."""

    def __init__(self, ledger: Ledger, index: Index) -> None:
        self._ledger = ledger
        self._index = index
        self._held: OrderedDict[_Key, _Held] = OrderedDict()
        self._of_scope: dict[str, set[_Key]] = {}
        self._taken = 0
        self._vocabulary = Vocabulary()

    def commit(self, changes: Changes, position: int, *, behind: bool) -> None:
        """Hear what a commit brought; ``behind`` a position that was reached before: what it touches starts anew."""
        for scope, gain in gains(changes, position, self._of_scope).items():
            for key in list(self._of_scope[scope]):
                if not gain.touches(key.layer, _TABLES[key.layer]):
                    continue
                if behind:
                    self._drop(key)
                else:
                    self._held[key].wait(gain)

    @asynccontextmanager
    async def statements(self, scope: str, space: str | None) -> AsyncIterator[Statements]:
        """Open a user's items."""
        async with self._open(_Key(scope, space, "item"), Statements, _load_statements) as corpus:
            yield corpus

    @asynccontextmanager
    async def segments(self, scope: str, space: str | None) -> AsyncIterator[Corpus]:
        """Open a user's segments."""
        async with self._open(_Key(scope, space, "segment"), Segments, _load_segments) as corpus:
            yield corpus

    @asynccontextmanager
    async def categories(self, scope: str, space: str | None) -> AsyncIterator[Versions]:
        """Open a user's categories: a row for each version of a category's file."""
        async with self._open(_Key(scope, space, "category"), Versions, _load_categories) as corpus:
            yield corpus

    @asynccontextmanager
    async def _open(
        self, key: _Key, kind: Callable[[Vocabulary], CorpusT], load: "_Loader[CorpusT]"
    ) -> AsyncIterator[CorpusT]:
        held = self._held.get(key) or self._hold(key, kind(self._vocabulary))
        self._held.move_to_end(key)
        # One question of a user's layer at a time: what is added meanwhile must not move under another's feet.
        async with held.lock:
            before = held.corpus.position
            if held.stale:
                await self._refresh(key, held, kind, load)
            if held.waiting:
                await self._take(key, held)
            if held.corpus.position != before:
                self._make_room(key, held)
            corpus: Any = held.corpus
            yield corpus

    async def _refresh(
        self, key: _Key, held: _Held, kind: Callable[[Vocabulary], CorpusT], load: "_Loader[CorpusT]"
    ) -> None:
        """Read what the corpus lacks from the stores."""
        held.stale = False
        try:
            reached = self._ledger.position
            corpus: Any = kind(self._vocabulary) if key.layer == "category" else held.corpus
            after = corpus.position
            _, found = await asyncio.gather(
                self._ledger.reading(load, self._ledger, corpus, key.scope, after, reached),
                self._index.vectors(key.scope, key.layer, key.space or "", after=after, until=reached),
            )
            if found[0]:
                await self._ledger.reading(corpus.embed, found[0], found[1], found[2])
        except BaseException:
            # Half filled, it is no use to anybody.
            self._drop(key)
            raise
        corpus.position = reached
        held.corpus = corpus

    async def _take(self, key: _Key, held: _Held) -> None:
        """Take in what commits brought since; what the stores have told already is passed over."""
        fresh = [gain for gain in held.taken() if gain.position > held.corpus.position]

        def all_of_them() -> None:
            for gain in fresh:
                take(held.corpus, gain, key.layer, key.space)

        try:
            if sum(gain.size for gain in fresh) > _AT_ONCE:
                await self._ledger.reading(all_of_them)
            else:
                all_of_them()
        except BaseException:
            self._drop(key)
            raise

    def _hold(self, key: _Key, corpus: Corpus) -> _Held:
        held = self._held[key] = _Held(corpus)
        self._of_scope.setdefault(key.scope, set()).add(key)
        return held

    def _drop(self, key: _Key) -> None:
        held = self._held.pop(key, None)
        if held is None:
            return
        self._taken -= held.bytes
        self._of_scope[key.scope].discard(key)
        if not self._of_scope[key.scope]:
            del self._of_scope[key.scope]

    def _make_room(self, kept: _Key, held: _Held) -> None:
        """Count what a corpus takes now, and let the least recently asked ones go."""
        if self._held.get(kept) is not held:
            # It went while it was asked.
            return
        self._taken += held.corpus.bytes - held.bytes
        held.bytes = held.corpus.bytes
        for key in list(self._held) if self._taken > _BUDGET_BYTES else ():
            if self._taken <= _BUDGET_BYTES:
                return
            if key != kept and not self._held[key].lock.locked():
                self._drop(key)


_Loader = Callable[[Ledger, CorpusT, str, int, int], None]


def _load_statements(ledger: Ledger, corpus: Statements, scope: str, after: int, until: int) -> None:
    between = "WHERE scope = ? AND made > ? AND made <= ?"
    rows = {
        "items": ledger.rows(f"SELECT * FROM items {between} ORDER BY made, rowid", [scope, after, until]),
        "sources": ledger.rows(f"SELECT * FROM sources {between}", [scope, after, until]),
        "links": ledger.rows(
            "SELECT * FROM links WHERE scope = ? AND made <= ? AND (made > ? OR ended > ?)",
            [scope, until, after, after],
        ),
    }
    add_statements(corpus, rows)
    _load_endings(ledger, corpus, "items", scope, after, until)
    if after:
        for identifier, reason, successor in ledger.rows(
            "SELECT id, end_reason, successor FROM items WHERE scope = ? AND made <= ? AND ended > ? AND ended <= ? "
            "AND successor IS NOT NULL",
            [scope, after, after, until],
        ):
            corpus.outdate(identifier, reason, successor)


def _load_endings(ledger: Ledger, corpus: Corpus, table: str, scope: str, after: int, until: int) -> None:
    """End what had been loaded before; what is loaded now knows its end."""
    if not after:
        return
    ended = ledger.rows(
        f"SELECT id, made, ended FROM {table} WHERE scope = ? AND made <= ? AND ended > ? AND ended <= ?",
        [scope, after, after, until],
    )
    for identifier, made, end in ended:
        corpus.end(identifier, made, end)


def _load_segments(ledger: Ledger, corpus: Segments, scope: str, after: int, until: int) -> None:
    between = "WHERE scope = ? AND made > ? AND made <= ?"
    rows = {
        table: ledger.rows(f"SELECT * FROM {table} {between}", [scope, after, until])
        for table in ("resources", "segments")
    }
    add_segments(corpus, rows)
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
    for identifier, name, description, origin, made, ended in ledger.rows(
        "SELECT id, name, description, origin, made, ended FROM categories WHERE scope = ? AND made <= ? ORDER BY made, id",
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
                facts.append(version(Heading(identifier, name, description, origin), text, citations, start, end))
    corpus.add(sorted(facts, key=lambda one: one.made))


def _or_live(position: int | None) -> int:
    return LIVE if position is None else position
