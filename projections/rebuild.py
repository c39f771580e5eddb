"""Rebuilding a projection from the log, strictly: an event that cannot be applied stops it.

Where it stops, is interrupted or killed, it goes on: its position is committed with its rows. No model is called;
everything that one said is in the events.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar, cast
from zlib import crc32

from memstream.events.log import EventLog
from memstream.events.reading import Stored
from memstream.events.subjects import Scope
from memstream.events.tasks import end, uninterrupted
from memstream.events.types import EventDropped

from .applier import Applier, LocalApplier, ProcessApplier
from .batch import RebuildStopped
from .changes import Changes
from .index import Index
from .ledger import Ledger
from .loading import load_state
from .packing import Packed, joined
from .projector import store
from .staleness import mark_clean
from .state import References, union

# A commit costs scans of the tables so far: few large ones make time grow with the log, not with its square.
_BATCH_EVENTS = 8_000
_BATCH_BYTES = 24 * 1024 * 1024
_PROCESSES = 2
# Events from which on a process of its own is worth its start.
_LONG_LOG = 20_000

T = TypeVar("T")


class Rebuilt(NamedTuple):
    """How far a rebuild is: the position, how many events and items it applied since it began, and in what time."""

    position: int
    events: int
    items: int
    seconds: float


class _Prepared(NamedTuple):
    """A batch that has been decoded: where it ends, and what it refers to."""

    position: int
    wanted: References


Told = Callable[[Rebuilt], None]


async def dropped_positions(log: EventLog) -> frozenset[int]:
    """Return the positions that an operator has given up on."""
    found = [event async for event in log.read(types=["event.dropped"])]
    return frozenset(event.data.position for event in found if isinstance(event, EventDropped))


class Rebuild:
    """Brings one ledger and index up to a position of the log; nobody else may write to them meanwhile."""

    def __init__(self, log: EventLog, ledger: Ledger, index: Index, *, scope: Scope | None = None) -> None:
        self._log = log
        self._ledger = ledger
        self._index = index
        self._scope = scope
        self._events = 0
        self._items = 0

    async def run(self, until: int, told: Told = lambda _: None, dropped: frozenset[int] = frozenset()) -> Rebuilt:
        """Apply the log up to ``until``; ``dropped`` positions are left out, as an operator decided.

        Raises RebuildStopped at an event that cannot be applied, LogIntegrityError when the log is another one.
        """
        started = time.perf_counter()
        state = await self._log.state()
        await self._ledger.writing(self._ledger.bind, state.log_id, state.last_position)
        await self._index.cut(self._ledger.position)
        if self._ledger.position == 0:
            await self._ledger.writing(mark_clean, self._ledger, state.last_position)

        def tell() -> Rebuilt:
            seconds = time.perf_counter() - started
            rebuilt = Rebuilt(self._ledger.position, self._events, self._items, seconds)
            told(rebuilt)
            return rebuilt

        long = until - self._ledger.position > _LONG_LOG
        appliers: list[Applier] = [ProcessApplier.start() for _ in range(_PROCESSES)] if long else [LocalApplier()]
        batches: asyncio.Queue[_Prepared | None] = asyncio.Queue(1)
        reader = asyncio.create_task(self._read(until, dropped, appliers, batches))
        try:
            with _uncollected(), self._ledger.bulk(), self._index.loading():
                await self._apply_all(appliers, batches, reader, tell)
        finally:
            await end(reader)
            await asyncio.gather(*(one.close() for one in appliers))
        if self._ledger.position < until:
            # The log ends in positions that are not this projection's: another user's, or erased ones.
            await store(self._ledger, self._index, Changes(), until)
        await self._index.optimize(force=True)
        return tell()

    async def _apply_all(
        self,
        appliers: Sequence[Applier],
        batches: "asyncio.Queue[_Prepared | None]",
        reader: "asyncio.Task[None]",
        tell: Callable[[], Rebuilt],
    ) -> None:
        """Apply batch by batch; while one is being written, the next is applied to the state behind it."""
        writing: asyncio.Task[None] | None = None
        try:
            while batch := await _next(batches, reader):
                # One look at the ledger for all parts: it scans tables, whatever it looks for.
                state = await self._ledger.reading(load_state, self._ledger, batch.wanted)
                packed = joined(await _all(one.apply(state) for one in appliers))
                if writing is not None:
                    await writing
                    tell()
                writing = asyncio.create_task(self._store(packed, batch.position))
            if writing is not None:
                await writing
                tell()
        finally:
            if writing is not None:
                # What is half written when we are told to stop is finished first.
                await asyncio.gather(writing, return_exceptions=True)

    async def _store(self, packed: Packed, position: int) -> None:
        await uninterrupted(store(self._ledger, self._index, packed, position))
        self._events += packed.events
        self._items += packed.items

    async def _read(
        self,
        until: int,
        dropped: frozenset[int],
        appliers: Sequence[Applier],
        batches: "asyncio.Queue[_Prepared | None]",
    ) -> None:
        """Read and decode ahead of what is being applied."""
        batch: list[Stored] = []
        size = 0
        after = self._ledger.position
        async with contextlib.aclosing(self._log.read_stored(after=after, until=until, scope=self._scope)) as feed:
            async for stored in feed:
                if stored.position in dropped:
                    continue
                batch.append(stored)
                size += len(stored.body)
                if len(batch) >= _BATCH_EVENTS or size >= _BATCH_BYTES:
                    await batches.put(await _prepared(batch, appliers))
                    batch, size = [], 0
        if batch:
            await batches.put(await _prepared(batch, appliers))
        await batches.put(None)


async def _prepared(batch: Sequence[Stored], appliers: Sequence[Applier]) -> _Prepared:
    """Share a batch among the appliers, by user: what one user's events refer to is that user's alone."""
    parts: list[list[Stored]] = [[] for _ in appliers]
    for stored in batch:
        # memstream.<tenant>.<user>.<type>: stable for a user, whatever the process.
        parts[crc32(stored.subject.split(".", 3)[2].encode()) % len(parts)].append(stored)
    wanted = await _all(one.prepare(part) for one, part in zip(appliers, parts, strict=True))
    return _Prepared(batch[-1].position, union(wanted))


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    """Wait for all; of several failures, the one at the first position is told."""
    done = await asyncio.gather(*work, return_exceptions=True)
    failures = [one for one in done if isinstance(one, BaseException)]
    if failures:
        raise min(failures, key=lambda one: one.position if isinstance(one, RebuildStopped) else 0)
    return cast("list[T]", done)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector from walking a batch's hundreds of thousands of objects again and again: half of all time.

    They hold no cycles, so that nothing of them waits for it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


async def _next(batches: "asyncio.Queue[_Prepared | None]", reader: "asyncio.Task[None]") -> _Prepared | None:
    """Wait for the next batch; the reader's failure is ours, and None is the end."""
    if not batches.empty():
        # What was read before a failure is applied before it is told.
        return batches.get_nowait()
    getter = asyncio.ensure_future(batches.get())
    try:
        await asyncio.wait({getter, reader}, return_when=asyncio.FIRST_COMPLETED)
        if not getter.done() and reader.done() and reader.exception() is not None:
            await reader
        return await getter
    finally:
        getter.cancel()
