"""The event log: append one or many, read from a position, read one user, follow live.

The only door to the stream. Positions are stream sequences: they rise, and may have holes where a user's events
were erased.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from .appending import MAX_BATCH, Appended, Appender
from .connection import connect, disconnect
from .errors import LogIntegrityError, LogUnavailable
from .objects import ResourceStore
from .overwriting import deleted_positions, erase_messages
from .reading import Stored, find_positions, follow, latest_position, read
from .redaction import TOMBSTONES, Redactions, merged
from .stream import STREAM, LogState, checked_state, ensure_stream, stream_state
from .subjects import ROOT, Scope, parse_subject, subject_of, user_subjects
from .types import EVENT_TYPES, Event

# Batches in flight while the next ones are encoded: the server syncs one while we write another.
_PIPELINE = 4


class EventLog:
    """The log behind one NATS connection. Open it with ``EventLog.open``; it is an async context manager."""

    def __init__(
        self, nc: Client, state: LogState, *, timeout: float = 10.0, replicas: int = 1, owns_connection: bool = False
    ) -> None:
        self.nc = nc
        self.log_id = state.log_id
        self._known = state
        self._broken: str | None = None
        self._reached = state.last_position
        self._owns_connection = owns_connection
        self.resources = ResourceStore(nc, replicas=replicas)
        self._redactions = Redactions(nc)
        self._appender = Appender(nc, timeout, self._redactions.tombstone_over)

    @classmethod
    async def open(cls, server: str | Client, *, replicas: int = 1, timeout: float = 10.0) -> Self:
        """Connect to ``server`` (URL or an open client), create the stream if need be, and check it.

        Raises LogUnavailable when nobody answers, LogIntegrityError when the stream could drop history.
        """
        nc = await connect(server, timeout=min(timeout, 5.0)) if isinstance(server, str) else server
        state = await ensure_stream(nc.jetstream(timeout=timeout), replicas=replicas)
        return cls(nc, state, timeout=timeout, replicas=replicas, owns_connection=isinstance(server, str))

    async def check(self) -> LogState:
        """Compare the log with what it was; once it has failed, nothing is appended through this object any more.

        Raises LogIntegrityError when it was replaced, lost its end or could drop history, LogUnavailable when the
        server does not answer.
        """
        self._refuse_broken()
        try:
            self._known = await checked_state(self.nc.jetstream(timeout=5), self._known)
        except LogIntegrityError as error:
            self._broken = str(error)
            raise
        return self._known

    async def append(self, event: Event) -> Appended:
        """Append one event; acknowledged means on disk. A repeated append returns the original position.

        Raises TooLarge, StorageFull, or LogUnavailable (then it is safe to repeat the call).
        """
        return (await self._append([event]))[0]

    async def append_behind(self, events: Sequence[Event], position: int) -> list[Appended]:
        """Append events atomically right behind a position: theirs are known before they are written.

        Raises Conflict, and appends nothing, when the log does not end there any more.
        """
        return await self._append(events, behind=position)

    async def append_many(self, events: Sequence[Event], *, split: bool = False) -> list[Appended]:
        """Append up to 1,000 events atomically, all or none; results are in the order of ``events``.

        ``split=True`` accepts any number and appends them as a pipeline of atomic batches: each batch is all or
        none, and after an error a repeated call appends what is missing.
        """
        if len(events) <= MAX_BATCH or not split:
            return await self._append(events)
        return await self._append_pipelined(events)

    def _refuse_broken(self) -> None:
        if self._broken is not None:
            raise LogIntegrityError(self._broken)

    async def _append(
        self, events: Sequence[Event], known: Mapping[str, Appended] | None = None, *, behind: int | None = None
    ) -> list[Appended]:
        """Append a batch; a log that gives a position it has given before has lost what was there."""
        self._refuse_broken()
        reached = self._reached
        done = await self._appender.append(events, known, behind=behind)
        fresh = [one.position for one in done if not one.duplicate]
        if fresh and min(fresh) <= reached:
            self._broken = (
                f"the log lost its end: it gave position {min(fresh)} again, and had reached {reached}. "
                "Restore it from a backup, or start again with an empty projection to accept the loss"
            )
            raise LogIntegrityError(self._broken)
        self._reached = max([self._reached, *fresh])
        return done

    async def _append_pipelined(self, events: Sequence[Event]) -> list[Appended]:
        results: list[Appended] = []
        flight: deque[asyncio.Task[list[Appended]]] = deque()
        try:
            for start in range(0, len(events), MAX_BATCH):
                if len(flight) == _PIPELINE:
                    results += await flight.popleft()
                batch = events[start : start + MAX_BATCH]
                # Looked up before it takes off: one that waited for that in flight could be overtaken.
                known = await self._appender.already_there(batch)
                flight.append(asyncio.create_task(self._append(batch, known)))
                # Let the batch reach the socket before the next one, so that batches keep their order.
                await asyncio.sleep(0)
            while flight:
                results += await flight.popleft()
        finally:
            for task in flight:
                task.cancel()
            await asyncio.gather(*flight, return_exceptions=True)
        return results

    async def read(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        scope: Scope | None = None,
        types: Iterable[str] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Yield the events behind position ``after`` in order, up to ``until`` or the present end, then stop.

        ``scope`` reads one user alone; ``types`` only those event types. Raises InvalidEvent at a message that
        is not an event of ours: a reader that wants to go on uses ``read_stored``.
        """
        async for stored in self.read_stored(after=after, until=until, scope=scope, types=types):
            yield stored.decode()

    async def read_stored(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        scope: Scope | None = None,
        types: Iterable[str] | None = None,
    ) -> AsyncGenerator[Stored, None]:
        """Like ``read``, without decoding: for readers that decide themselves what to do with a bad message."""
        end = (await self.state()).last_position if until is None else until
        if end <= after:
            return
        subjects = _filter(scope, types)
        left = await self._redactions.between(after, end, subjects)
        feed = read(self.nc, after=after, until=end, subjects=subjects)
        async for stored in merged(feed, left, self._redactions.gone):
            yield stored

    async def follow(
        self, *, after: int = 0, scope: Scope | None = None, types: Iterable[str] | None = None
    ) -> AsyncGenerator[Stored, None]:
        """Yield everything behind ``after``, then each new message as it is appended, until closed."""
        if await self._redactions.affects(after):
            end = (await self.state()).last_position
            async for stored in self.read_stored(after=after, until=end, scope=scope, types=types):
                yield stored
            after = max(after, end)
        async for stored in follow(self.nc, after=after, subjects=_filter(scope, types)):
            yield stored

    async def delete(self, positions: Iterable[int]) -> None:
        """Delete messages and overwrite their bytes on disk; one that is gone already is passed over.

        For erasure alone: a tombstone must have been appended before, or a replay would miss them without a word.
        """
        await erase_messages(self.nc, STREAM, positions)

    async def finish_erasures(self) -> None:
        """Delete what erasures that were interrupted have left in the log."""
        await self._redactions.refresh()
        due = self._redactions.positions
        for key, up_to in self._redactions.erased_users.items():
            scope = Scope.from_key(key)
            async for stored in read(self.nc, until=up_to, subjects=_filter(scope, None)):
                if not stored.subject.endswith(TOMBSTONES):
                    due.add(stored.position)
        if due:
            await self.delete(due - await deleted_positions(self.nc, STREAM))

    async def state(self) -> LogState:
        """Return identity, ends and size of the log; raise LogUnavailable when the server does not answer."""
        return await stream_state(self.nc.jetstream(timeout=5))

    async def last_position(self, scope: Scope, types: Iterable[str]) -> int:
        """Return the position of the user's latest event of some types; 0 when there is none."""
        js = self.nc.jetstream(timeout=5)
        with _answering():
            found = await asyncio.gather(*(latest_position(js, subject_of(scope, name)) for name in types))
        return max(found, default=0)

    async def has(self, scope: Scope, event_type: str, ids: Collection[str], *, after: int) -> bool:
        """Tell whether all of some events of a user are in the log, behind a position."""
        subjects, wanted = {subject_of(scope, event_type)}, set(ids)
        with _answering():
            found = await find_positions(self.nc.jetstream(timeout=5), subjects, wanted, after=after)
        return found.keys() == wanted

    async def counts(self, scope: Scope | None = None) -> dict[str, int]:
        """Count the events by type, of everybody or of one user."""
        filter_ = user_subjects(scope) if scope else f"{ROOT}.>"
        with _answering():
            info = await self.nc.jetstream(timeout=5).stream_info(STREAM, subjects_filter=filter_)
        counts = dict.fromkeys(EVENT_TYPES, 0)
        for subject, number in (info.state.subjects or {}).items():
            _, event_type = parse_subject(subject)
            counts[event_type] = counts.get(event_type, 0) + number
        return {name: number for name, number in counts.items() if number}

    async def close(self) -> None:
        """Close the connection if this log opened it."""
        if self._owns_connection:
            await disconnect(self.nc)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (NatsError, APIError, TimeoutError) as error:
        raise LogUnavailable(f"the log does not answer: {error!r}; is the server up?") from error


def _filter(scope: Scope | None, types: Iterable[str] | None) -> list[str]:
    if types is None:
        return [user_subjects(scope) if scope else f"{ROOT}.>"]
    if scope is None:
        return [f"{ROOT}.*.*.{name}" for name in types]
    return [subject_of(scope, name) for name in types]
