"""Reading the log in order: from a position, one user's part of it, or live for ever.

Gaps are noticed by the consumer's own sequence, and reading goes on after the last message seen, also across a
restart of the server (see ``pulling``). Positions may have holes where events were erased.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from .errors import InvalidEvent, InvalidScope
from .pulling import Pull
from .stream import STREAM
from .subjects import ROOT, parse_subject
from .tasks import end
from .types import Event, decode

_BUFFER = 1_024
# Stands in the message id of an event that comes again after its first one was erased.
ERASED_MARK = "~erased-"
# When another log recorded an event that was brought here from it.
RECORDED_HEADER = "Memstream-Recorded"


class Stored(NamedTuple):
    """A message as the log holds it, not yet decoded."""

    position: int
    subject: str
    body: bytes
    recorded: datetime
    pending: int
    message_id: str = ""

    def decode(self) -> Event:
        """Parse the event; raise InvalidEvent when it is none or was published under another's subject."""
        event = decode(self.body)
        if event.subject != self.subject:
            raise InvalidEvent(
                f"the event at position {self.position} claims {event.tenant!r}/{event.user!r} {event.type} "
                f"but was published to {self.subject!r}"
            )
        # Nobody else has it yet, so it is completed in place: a copy would cost a tenth of decoding.
        object.__setattr__(event, "position", self.position)
        object.__setattr__(event, "recorded", self.recorded)
        return event

    @property
    def owner(self) -> str:
        """The scope key that the subject names; empty when it is not one of ours."""
        try:
            return parse_subject(self.subject)[0].key
        except InvalidScope:
            return ""


@asynccontextmanager
async def subscription(
    nc: Client,
    *,
    after: int = 0,
    since: datetime | None = None,
    subjects: Iterable[str] = (f"{ROOT}.>",),
    headers_only: bool = False,
) -> AsyncIterator[tuple["asyncio.Queue[Stored]", int]]:
    """Open an ordered reader behind ``after``; yields its queue and how many messages wait at the start."""
    queue: asyncio.Queue[Stored] = asyncio.Queue(_BUFFER)
    pull = Pull(nc, sorted(subjects), _stored, queue, headers_only=headers_only)
    running: asyncio.Task[None] | None = None
    try:
        waiting = await pull.open(after, since)
        running = asyncio.create_task(pull.run(), name="log reader")
        yield queue, waiting
    finally:
        await end(running)
        await pull.close()


async def read(
    nc: Client, *, after: int = 0, until: int | None = None, subjects: Iterable[str] = (f"{ROOT}.>",)
) -> AsyncGenerator[Stored, None]:
    """Yield what the log holds behind ``after``, up to and with ``until`` (default: its present end), then stop."""
    async with subscription(nc, after=after, subjects=subjects) as (queue, waiting):
        while waiting:
            stored = await queue.get()
            if until is not None and stored.position > until:
                return
            yield stored
            if stored.pending == 0 or stored.position == until:
                return


async def follow(
    nc: Client, *, after: int = 0, subjects: Iterable[str] = (f"{ROOT}.>",)
) -> AsyncGenerator[Stored, None]:
    """Yield everything behind ``after`` and then whatever is appended, until the iterator is closed."""
    async with subscription(nc, after=after, subjects=subjects) as (queue, _):
        while True:
            yield await queue.get()


async def latest_position(js: JetStreamContext, subject: str) -> int:
    """Return the position of the last message of a subject, 0 when there is none.

    The leader answers: a direct read may come from a replica that is behind.
    """
    try:
        return (await js.get_last_msg(STREAM, subject)).seq or 0
    except NotFoundError:
        return 0


async def find_positions(
    js: JetStreamContext, subjects: set[str], ids: set[str], *, after: int = 0, since: datetime | None = None
) -> dict[str, int]:
    """Return the position of each of ``ids`` that was stored under ``subjects`` behind ``after``, or since a time."""
    found: dict[str, int] = {}
    client = js._nc  # noqa: SLF001 - nats-py has no public way back from a context to its client
    reader = subscription(client, after=after, since=since, subjects=subjects, headers_only=True)
    async with reader as (queue, waiting):
        while waiting and len(found) < len(ids):
            stored = await queue.get()
            identifier = stored.message_id.partition(ERASED_MARK)[0]
            if identifier in ids:
                found.setdefault(identifier, stored.position)
            if stored.pending == 0:
                break
    return found


def _stored(message: Msg) -> Stored:
    meta = message.metadata
    headers = message.headers or {}
    return Stored(
        position=meta.sequence.stream,
        subject=message.subject,
        body=message.data,
        recorded=_recorded(headers.get(RECORDED_HEADER), meta.timestamp),
        pending=meta.num_pending,
        message_id=headers.get("Nats-Msg-Id", ""),
    )


def _recorded(elsewhere: str | None, here: datetime) -> datetime:
    """Return when an event was recorded first; a time that is none, or is still to come, is not believed."""
    if elsewhere is None:
        return here
    try:
        moment = datetime.fromisoformat(elsewhere)
    except ValueError:
        return here
    return min(moment, here) if moment.tzinfo is not None else here
