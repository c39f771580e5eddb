"""Rebuilding a projection from the log, strictly: an event that cannot be applied stops it.

Where it stops, is interrupted or killed, it goes on: its position is committed with its rows. No model is called;
everything that one said is in the events.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from memstream.events.log import EventLog
from memstream.events.reading import Stored
from memstream.events.subjects import Scope
from memstream.events.tasks import end, uninterrupted
from memstream.events.types import EventDropped

from .batch import Batch, changes_of, decode_batch
from .changes import Changes
from .index import Index
from .ledger import Ledger
from .projector import store
from .staleness import mark_clean

# A commit costs scans of the tables so far: few large ones make time grow with the log, not with its square.
_BATCH_EVENTS = 8_000
_BATCH_BYTES = 24 * 1024 * 1024
_TOLD_SECONDS = 0.2


class Rebuilt(NamedTuple):
    """How far a rebuild is: the position, how many events and items it applied since it began, and in what time."""

    position: int
    events: int
    items: int
    seconds: float


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

        batches: asyncio.Queue[Batch | None] = asyncio.Queue(1)
        reader = asyncio.create_task(self._read(until, dropped, batches))
        try:
            with _uncollected(), self._ledger.bulk(), self._index.loading():
                while batch := await _next(batches, reader):
                    await self._apply(batch)
                    tell()
        finally:
            await end(reader)
        if self._ledger.position < until:
            # The log ends in positions that are not this projection's: another user's, or erased ones.
            await store(self._ledger, self._index, Changes(), until)
        await self._index.optimize(force=True)
        return tell()

    async def _apply(self, batch: Batch) -> None:
        changes = await self._ledger.writing(changes_of, self._ledger, batch, strict=True)
        await uninterrupted(store(self._ledger, self._index, changes, batch.position))
        self._events += len(batch.events)
        self._items += len(changes.rows.get("items", ()))

    async def _read(self, until: int, dropped: frozenset[int], batches: "asyncio.Queue[Batch | None]") -> None:
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
                    await batches.put(await asyncio.to_thread(decode_batch, batch, strict=True))
                    batch, size = [], 0
        if batch:
            await batches.put(await asyncio.to_thread(decode_batch, batch, strict=True))
        await batches.put(None)


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


async def _next(batches: "asyncio.Queue[Batch | None]", reader: "asyncio.Task[None]") -> Batch | None:
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
