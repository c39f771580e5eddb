"""Writing to the log: one event, or an atomic batch of up to 1,000 (NATS ADR-50).

An append is acknowledged only once the server has it on disk. Every event's id is its ``Nats-Msg-Id``, so a
repeated append changes nothing: inside the server's duplicate window the server says so, after it the log is
searched from the time that the ids themselves carry.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError

from .errors import Conflict, InvalidEvent, LogUnavailable, MemstreamError, StorageFull, TooLarge
from .ids import new_id, time_of
from .reading import ERASED_MARK, RECORDED_HEADER, find_positions
from .stream import DUPLICATE_WINDOW_SECONDS
from .types import Event

MAX_BATCH = 1_000
# What the server counts against its payload limit beside the body.
_HEADER_ROOM = 1_024
_DUPLICATE_IN_BATCH = 10201
_WRONG_LAST = {10071, 10164}
_STORAGE_FULL = {10023, 10047, 10077}
# The window is checked a little early, so that a slow clock cannot let a duplicate through.
_WINDOW = timedelta(seconds=DUPLICATE_WINDOW_SECONDS * 0.75)
_RETRY_SECONDS = 0.2
# A request that a dying leader took is never answered; repeating it is safe, as its ids are known.
_ANSWER_SECONDS = 2.0


class Appended(NamedTuple):
    """Where an event is in the log; ``duplicate`` when it had been there before this call."""

    id: str
    position: int
    duplicate: bool = False


class _Message(NamedTuple):
    """An event as it goes over the wire, encoded once."""

    event: Event
    subject: str
    body: bytes
    message_id: str


class ServerRefusedError(MemstreamError):
    """The server refused a message; ``code`` is its JetStream error code."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"the server refused to append: {description} (JetStream error {code})")
        self.code = code


@dataclass(frozen=True)
class Appender:
    """Appends to the stream behind ``nc``; repeats an unanswered append until ``timeout`` seconds have passed."""

    nc: Client
    timeout: float
    # Tells the tombstone over a scope's position, if there is one: see ``Redactions.tombstone_over``.
    tombstone_over: Callable[[str, int | None], Awaitable[int]]

    async def append(
        self, events: Sequence[Event], known: Mapping[str, Appended] | None = None, *, behind: int | None = None
    ) -> list[Appended]:
        """Append up to 1,000 events, all or none; the results are in their order.

        ``known`` is what ``already_there`` has found of them: then the first thing that is awaited is the sending.
        ``behind`` is the position that the log must still end at; raises Conflict when it does not.
        """
        if not events:
            return []
        if len(events) > MAX_BATCH:
            raise TooLarge(
                f"{len(events)} events in one atomic batch, over {MAX_BATCH}: append fewer, "
                "or pass split=True to give up atomicity across batches"
            )
        messages = self._encode(events)
        known = dict(await self.already_there(events) if known is None else known)
        deadline = asyncio.get_running_loop().time() + self.timeout
        while missing := [message for message in messages if message.event.id not in known]:
            try:
                messages, found = await self._attempt(messages, missing, behind)
                known |= found
            except (NatsError, TimeoutError, OSError, LogUnavailable) as error:
                await self._before_retry(error, deadline)
        return [known[event.id] for event in events]

    async def _attempt(
        self, messages: list[_Message], missing: Sequence[_Message], behind: int | None = None
    ) -> tuple[list[_Message], dict[str, Appended]]:
        """Send what is missing; return the messages, renamed where they have to be, and what is now in the log."""
        try:
            done = await self._publish(missing, behind)
        except ServerRefusedError as error:
            found = await self._resolve_refusal(error, [message.event for message in missing])
            renamed = messages if found else await self._renamed(messages)
            if not found and renamed == messages:
                raise
            return renamed, found
        renamed = await self._renamed(messages, done)
        return renamed, {one.id: one for one in done} if renamed == messages else {}

    async def _publish(self, messages: Sequence[_Message], behind: int | None = None) -> list[Appended]:
        expected = {} if behind is None else {"Nats-Expected-Last-Sequence": str(behind)}
        if len(messages) == 1:
            ack = await self._request(messages[0], _headers(messages[0]) | expected)
            duplicate = bool(ack.get("duplicate"))
            return [Appended(messages[0].event.id, int(cast("int", ack["seq"])), duplicate)]
        batch, last = new_id(), len(messages)
        for sequence, message in enumerate(messages[:-1], start=1):
            headers = _batch_headers(message, batch, sequence) | (expected if sequence == 1 else {})
            await self.nc.publish(message.subject, message.body, headers=headers)
        commit = _batch_headers(messages[-1], batch, last) | {"Nats-Batch-Commit": "1"}
        ack = await self._request(messages[-1], commit)
        first = int(cast("int", ack["seq"])) - last + 1
        return [Appended(message.event.id, first + offset) for offset, message in enumerate(messages)]

    async def _request(self, message: _Message, headers: dict[str, str]) -> dict[str, object]:
        timeout = min(_ANSWER_SECONDS, self.timeout)
        reply = await self.nc.request(message.subject, message.body, timeout=timeout, headers=headers)
        ack: dict[str, object] = json.loads(reply.data)
        if "error" in ack:
            error = cast("dict[str, object]", ack["error"])
            raise ServerRefusedError(int(cast("int", error.get("err_code", 0))), str(error.get("description", "")))
        return ack

    async def already_there(self, events: Sequence[Event]) -> dict[str, Appended]:
        """Look up the events that the server may have forgotten: those older than its duplicate window."""
        horizon = datetime.now(UTC) - _WINDOW
        old = [event for event in events if (born(event) or _EPOCH) < horizon]
        return await self._lookup(old) if old else {}

    async def _lookup(self, events: Sequence[Event]) -> dict[str, Appended]:
        since = min((born(event) or _EPOCH for event in events), default=_EPOCH)
        found = await find_positions(
            self.nc.jetstream(timeout=self.timeout),
            {event.subject for event in events},
            {event.id for event in events},
            since=since - timedelta(seconds=DUPLICATE_WINDOW_SECONDS),
        )
        return {identifier: Appended(identifier, position, duplicate=True) for identifier, position in found.items()}

    async def _resolve_refusal(self, error: ServerRefusedError, events: Sequence[Event]) -> dict[str, Appended]:
        """Accept a refused batch whose duplicates are in the log; anything else is an error."""
        if error.code in _STORAGE_FULL or "no space" in str(error) or "insufficient" in str(error):
            raise StorageFull(
                f"the log's disk or quota is full, nothing was appended ({error}): {StorageFull.way_out}"
            ) from error
        if error.code in _WRONG_LAST:
            # Perhaps an earlier attempt, whose answer was lost, is what the log ends with now.
            if found := await self._lookup(events):
                return found
            raise Conflict("the log went on meanwhile: read it again, and derive the events anew") from error
        if error.code != _DUPLICATE_IN_BATCH:
            raise error
        return await self._lookup(events)

    async def _renamed(self, messages: list[_Message], done: Sequence[Appended] = ()) -> list[_Message]:
        """Give messages new message ids where the server takes them for ones that were erased.

        ``done`` are acknowledgements: those called repeated, of a message that is gone, were not stored.
        """
        repeated = {one.id: one.position for one in done if one.duplicate}
        if done and not repeated:
            return messages
        renamed = list(messages)
        for place, message in enumerate(messages):
            position = repeated.get(message.event.id) if done else None
            if done and position is None:
                continue
            tombstone = await self.tombstone_over(message.event.scope.key, position)
            if tombstone:
                again = f"{message.event.id}{ERASED_MARK}{tombstone}"
                renamed[place] = message._replace(message_id=again)
        return renamed

    async def _before_retry(self, error: Exception, deadline: float) -> None:
        if isinstance(error, MaxPayloadError):
            raise TooLarge(f"an event is over the server's payload limit of {self.nc.max_payload} bytes") from error
        if asyncio.get_running_loop().time() + _RETRY_SECONDS > deadline:
            reason = (
                "no stream listens" if isinstance(error, NoRespondersError) else (str(error) or type(error).__name__)
            )
            raise LogUnavailable(
                f"the log did not acknowledge within {self.timeout:g} s ({reason}); "
                "it is safe to append the same events again"
            ) from error
        await asyncio.sleep(_RETRY_SECONDS)

    def _encode(self, events: Sequence[Event]) -> list[_Message]:
        if len({event.id for event in events}) != len(events):
            raise InvalidEvent("two events of one batch have the same id; give each its own")
        limit = (self.nc.max_payload or 1_048_576) - _HEADER_ROOM
        messages = [_Message(event, event.subject, event.encode(), event.id) for event in events]
        for event, _, body, _ in messages:
            if len(body) > limit:
                raise TooLarge(
                    f"event {event.type} {event.id} has {len(body):,} bytes, over {limit:,}: "
                    "put large content into the object store and its digest into the event"
                )
        return messages


def _batch_headers(message: _Message, batch: str, sequence: int) -> dict[str, str]:
    return _headers(message) | {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(sequence)}


def _headers(message: _Message) -> dict[str, str]:
    headers = {"Nats-Msg-Id": message.message_id}
    if message.event.recorded is not None:
        # It comes from another log, and keeps the time at which that one recorded it.
        headers[RECORDED_HEADER] = message.event.recorded.isoformat()
    return headers


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def born(event: Event) -> datetime | None:
    """Return the earliest time at which the event can have been appended, as its ids tell; None when they don't."""
    for identifier in (event.id, event.causation, event.correlation):
        if (moment := time_of(identifier)) is not None:
            return moment
    return None
