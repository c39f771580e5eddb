"""The projector: follows the log and writes the three layers, micro-batch by micro-batch.

LanceDB first, then rows and position in one DuckDB transaction. Whatever happens in between, the next start cuts
the index back to the ledger's position and goes on from there, so any batch size and any crash give one state.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import NamedTuple, cast

import duckdb
import pyarrow as pa

from memstream.events.errors import LogIntegrityError, LogUnavailable, Unavailable
from memstream.events.log import EventLog
from memstream.events.reading import Stored
from memstream.events.tasks import all_ended, end, uninterrupted
from memstream.events.types import EventDropped

from .batch import Batch, changes_of, decode_batch
from .changes import Changes
from .gathering import MAX_BATCH, next_batch
from .index import Index
from .ledger import Ledger
from .packing import Packed, pack_vectors
from .parking import attempts_of
from .staleness import mark_clean

logger = logging.getLogger("memstream.projections")

_RETRY_SECONDS = (0.1, 0.5, 2.0, 5.0)


# What a store says of values that it cannot hold; disks and servers that fail say something else.
_BAD_DATA = (duckdb.DataError, pa.ArrowInvalid, ValueError, TypeError, KeyError, OverflowError, RecursionError)


class Commit(NamedTuple):
    """What a commit reached: the position, the resources it touched, and the scopes whose memory changed.

    ``erased`` tells that it brought an erasure, ``amended`` that parked events were applied behind the position;
    ``changes`` are the rows and vectors themselves.
    """

    position: int
    resources: frozenset[str]
    scopes: frozenset[str]
    erased: bool
    changes: Changes
    amended: bool = False


Listener = Callable[[Commit], None]


class Projector:
    """Keeps one ledger and index at the end of the log."""

    def __init__(self, log: EventLog, ledger: Ledger, index: Index) -> None:
        self._log = log
        self._ledger = ledger
        self._index = index
        self._position = ledger.position
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._listeners: list[Listener] = []
        self._hurried = 0
        self._task: asyncio.Task[None] | None = None
        self._writing: asyncio.Future[None] | None = None
        # One writer at a time: the batch in work, or parked events that are tried again.
        self._lock = asyncio.Lock()
        self._optimizing: asyncio.Future[bool] | None = None
        self.failure: str | None = None

    @property
    def position(self) -> int:
        """The position that readers see."""
        return self._position

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` in the event loop after every commit."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Check the ledger against the log and begin to follow; the index ends where the ledger does.

        Raises LogIntegrityError when the log is another one or has lost its end.
        """
        state = await self._log.state()
        await self._ledger.writing(self._ledger.bind, state.log_id, state.last_position)
        if self._position == 0:
            await self._ledger.writing(mark_clean, self._ledger, state.last_position)
        self._task = asyncio.create_task(self._run(), name="projector")

    async def halt(self, error: LogIntegrityError) -> None:
        """Stop following a log that can no longer be trusted; what is projected stays readable."""
        self.failure = str(error)
        await self.stop()
        # A batch that was in work may have called all well at its end.
        self.failure = str(error)
        logger.critical("projection stopped: %s", error)

    async def stop(self) -> None:
        """Finish the batch in work and stop."""
        await end(self._task)
        self._task = None
        for work in (self._writing, self._optimizing):
            if work is not None:
                await asyncio.gather(work, return_exceptions=True)
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Unavailable(f"the projection stopped: {self.failure or 'the service ends'}"))

    def hand_over(self, other: "Projector") -> None:
        """Let those who wait for a position wait for the other projector's."""
        waiting, self._waiters = self._waiters, []
        for wanted, waiter in waiting:
            other.take_over(wanted, waiter)

    def take_over(self, wanted: int, waiter: "asyncio.Future[None]") -> None:
        """Wake a waiter of another projector once this one has reached its position."""
        if self._position < wanted:
            self._waiters.append((wanted, waiter))
        elif not waiter.done():
            waiter.set_result(None)

    async def wait_for(self, position: int, *, timeout: float = 30.0) -> None:
        """Return once everything up to ``position`` can be read; raise Unavailable after ``timeout`` seconds."""
        if self._position >= position:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((position, waiter))
        try:
            await asyncio.wait_for(waiter, timeout)
        except TimeoutError as error:
            raise Unavailable(
                f"the projection is at {self._position} and did not reach {position} within {timeout:g} s"
                + (f": {self.failure}" if self.failure else "; it is catching up, try again")
            ) from error
        finally:
            self._waiters = [pair for pair in self._waiters if pair[1] is not waiter]

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """Gather small batches for a while: somebody waits for what is coming, whatever its position will be."""
        self._hurried += 1
        try:
            yield
        finally:
            self._hurried -= 1

    async def _run(self) -> None:
        attempt = 0
        while True:
            before = self._position
            try:
                if attempt:
                    await self._reconcile()
                await self._follow()
            except LogIntegrityError as error:
                self.failure = str(error)
                logger.critical("projection stopped: %s", error)
                return
            except Exception as error:  # noqa: BLE001 - one writer for everybody: nothing may end it for good
                # A full disk or a server away: say so, keep what is committed, try again.
                attempt = 1 if self._position > before else attempt + 1
                self.failure = f"{type(error).__name__}: {error}"
                delay = _RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS)) - 1]
                logger.warning("projection behind at %d, again in %.1f s: %s", self._position, delay, self.failure)
                await asyncio.sleep(delay)

    async def _reconcile(self) -> None:
        if self._optimizing is not None:
            await asyncio.gather(self._optimizing, return_exceptions=True)
        # Should that fail, nothing may be written: rows that were not cut would be there twice.
        await self._index.cut(self._position)
        # A log that is away is asked again by what follows it, and compared by ``watching``.
        with contextlib.suppress(LogUnavailable):
            state = await self._log.state()
            if state.last_position < self._position or state.log_id != self._log.log_id:
                raise LogIntegrityError(
                    f"the log ends at {state.last_position}, before the projection's {self._position}, or was replaced"
                )

    async def _follow(self) -> None:
        queue: asyncio.Queue[Stored] = asyncio.Queue(MAX_BATCH)

        async def pump() -> None:
            async with contextlib.aclosing(self._log.follow(after=self._position)) as feed:
                async for stored in feed:
                    await queue.put(stored)

        reader = asyncio.create_task(pump())
        try:
            while True:
                batch = await next_batch(queue, reader, lambda: bool(self._waiters or self._hurried))
                # A cancelled stop must not tear a batch: index and ledger are written together.
                self._writing = asyncio.ensure_future(self._write(batch))
                await asyncio.shield(self._writing)
                self._optimize_beside()
        finally:
            await end(reader)

    def _optimize_beside(self) -> None:
        """Merge the index's fragments beside the next batches: appends and compaction don't conflict."""
        if self._optimizing is None or self._optimizing.done():
            self._optimizing = asyncio.ensure_future(self._index.optimize())

    async def _write(self, messages: Sequence[Stored]) -> None:
        fresh = [stored for stored in messages if stored.position > self._position]
        if not fresh:
            return
        batch = decode_batch(fresh)
        try:
            async with self._lock:
                await self._commit(fresh, batch)
                for event in batch.events:
                    if isinstance(event, EventDropped):
                        await self._release(event.data.position)
        except _BAD_DATA as error:
            await self._index.cut(self._position)
            await self._isolate(fresh, error)

    async def _commit(self, messages: Sequence[Stored], batch: Batch) -> None:
        changes = await self._ledger.writing(changes_of, self._ledger, batch)
        await store(self._ledger, self._index, changes, messages[-1].position)
        self._committed(messages[-1].position, changes)

    async def _isolate(self, messages: Sequence[Stored], error: Exception) -> None:
        """Find the event that the stores cannot take by halving the batch, and park it alone."""
        if len(messages) > 1:
            middle = len(messages) // 2
            await self._write(messages[:middle])
            await self._write(messages[middle:])
            return
        reason = f"the stores cannot take it: {type(error).__name__}: {error}"[:1_000]
        await self._commit(messages, Batch(messages[0].position, broken=[(messages[0], reason)]))

    async def retry(self, positions: Sequence[int]) -> frozenset[int]:
        """Try parked events again, and those that wait behind them; return the positions that are parked no more."""
        async with self._lock:
            attempts = await self._ledger.writing(attempts_of, self._ledger, list(positions))
            return await uninterrupted(self._amend(attempts, frozenset()))

    async def _release(self, position: int) -> None:
        """Take an event that was given up off the parking table, and try again what waited behind it."""
        attempts = await self._ledger.writing(attempts_of, self._ledger, [position])
        if attempts:
            await self._amend(attempts, frozenset({position}))

    @contextlib.asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Keep both stores as they are for a while: no batch is written, and no fragments are merged."""
        async with self._lock:
            if self._optimizing is not None:
                await asyncio.gather(self._optimizing, return_exceptions=True)
            yield

    async def idle(self) -> None:
        """Return once the batch in work, with all that follows from it, is written."""
        async with self._lock:
            return

    async def _amend(self, attempts: dict[int, int], given_up: frozenset[int]) -> frozenset[int]:
        messages = [await self._stored(position) for position in sorted(attempts) if position not in given_up]
        found = [stored for stored in messages if stored is not None]
        changes = Changes()
        if found:
            decoded = decode_batch(found)
            changes = await self._ledger.writing(changes_of, self._ledger, decoded, retried=attempts)
            await self._index.remove([stored.position for stored in found])
            await self._index.write(pack_vectors(changes.vectors))
        await self._ledger.writing(self._ledger.amend, changes, sorted(attempts))
        self._committed(self._position, changes, amended=True)
        parked = {cast("int", row[0]) for row in changes.rows.get("parked", ())}
        return frozenset(position for position in attempts if position not in parked)

    async def _stored(self, position: int) -> Stored | None:
        async for stored in self._log.read_stored(after=position - 1, until=position):
            return stored
        return None

    def _committed(self, position: int, changes: Changes, *, amended: bool = False) -> None:
        self._position = position
        self.failure = None
        commit = Commit(
            position,
            frozenset(changes.touched),
            changes.restructured(),
            "erasures" in changes.rows,
            changes,
            amended,
        )
        for listener in self._listeners:
            listener(commit)
        for wanted, waiter in self._waiters:
            if wanted <= position and not waiter.done():
                waiter.set_result(None)


async def store(ledger: Ledger, index: Index, changes: Changes | Packed, position: int) -> None:
    """Write both stores side by side; the ledger commits once the index is on disk, so it never runs ahead of it."""
    vectors = changes.vectors if isinstance(changes, Packed) else pack_vectors(changes.vectors)
    meta = {"space": list(vectors)[-1]} if vectors else {}
    try:
        await all_ended(ledger.writing(ledger.stage, changes, position, meta), index.write(vectors))
        await ledger.writing(ledger.publish, position)
    except BaseException:
        await ledger.writing(ledger.rollback)
        raise
