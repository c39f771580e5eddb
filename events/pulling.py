"""Messages of the log in order, as fast as they are taken and no faster: JetStream's pull, a window at a time.

A pushed ordered consumer of nats-py answers the server's flow control even while nobody takes its messages, and drops
what its buffer cannot hold without a word: a slow reader of a long log would lose events. Here nothing is sent that
was not asked for. Each delivery carries the consumer's own sequence; where one is missing, or the server says nothing
for a while, reading starts again behind the last message that was handed on.
"""

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError

from .errors import LogUnavailable
from .stream import STREAM

logger = logging.getLogger("memstream.events")

T = TypeVar("T")
# Asked for at once; two such windows are on their way, so that the wire never waits for us.
_WINDOW_MESSAGES = 1_000
_WINDOW_BYTES = 16 * 1024 * 1024
_WINDOWS = 2
_EXPIRES_SECONDS = 30
_HEARTBEAT_SECONDS = 1.0
_SILENT_SECONDS = 3.5
_INACTIVE_SECONDS = 60.0
_AGAIN_SECONDS = 0.2
_SECOND = 1_000_000_000


class Pull:
    """One reader: its consumer on the server, and the queue that its messages go to."""

    def __init__(
        self,
        nc: Client,
        subjects: list[str],
        take: Callable[[Msg], T],
        queue: "asyncio.Queue[T]",
        *,
        headers_only: bool,
    ) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=10)
        self._subjects = subjects
        self._headers_only = headers_only
        self._take = take
        self._queue = queue
        self._inbox: asyncio.Queue[Msg] = asyncio.Queue()
        self._subscription: Subscription | None = None
        self._consumer = ""
        self._asked: deque[int] = deque()
        self._position = 0
        self._delivered = 0

    async def open(self, after: int, since: datetime | None) -> int:
        """Make the consumer behind a position, or at a time; return how many messages wait for it."""
        self._position = after
        try:
            return await self._make(since)
        except (NatsError, APIError, TimeoutError) as error:
            raise LogUnavailable(f"the log cannot be read: {error!r}; is the server up?") from error

    async def run(self) -> None:
        """Hand messages on until cancelled; whatever happens to the server meanwhile."""
        while True:
            try:
                await self._deliver()
            except (NatsError, APIError, TimeoutError, OSError) as error:
                logger.info("reading goes on behind position %d: %r", self._position, error)
                await self._again()

    async def close(self) -> None:
        """Let go of the consumer; the server forgets it by itself when it is away."""
        with contextlib.suppress(NatsError, APIError, TimeoutError, OSError):
            if self._subscription is not None:
                await self._subscription.unsubscribe()
            await asyncio.wait_for(self._js.delete_consumer(STREAM, self._consumer), _HEARTBEAT_SECONDS)

    async def _make(self, since: datetime | None = None) -> int:
        self._inbox = asyncio.Queue()
        self._asked.clear()
        self._delivered = 0
        inbox = self._nc.new_inbox()
        arrived = self._inbox

        async def arrive(message: Msg) -> None:
            arrived.put_nowait(message)

        # No more comes than was asked for: the library's own limits would drop messages, not slow them down.
        self._subscription = await self._nc.subscribe(inbox, cb=arrive, pending_msgs_limit=0, pending_bytes_limit=0)
        several = len(self._subjects) > 1
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_TIME if since else DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=None if since else self._position + 1,
            opt_start_time=since,
            filter_subjects=self._subjects if several else None,
            filter_subject=None if several else self._subjects[0],
            headers_only=self._headers_only or None,
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=_INACTIVE_SECONDS,
        )
        made = await self._js.add_consumer(STREAM, config)
        self._consumer = made.name
        return made.num_pending or 0

    async def _again(self) -> None:
        """Make a new consumer behind the last message, as soon as there is somebody to make it."""
        while True:
            await self.close()
            try:
                await self._make()
            except (NatsError, APIError, TimeoutError, OSError):
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    async def _deliver(self) -> None:
        while True:
            while len(self._asked) < _WINDOWS:
                await self._ask()
            message = (
                await asyncio.wait_for(self._inbox.get(), _SILENT_SECONDS)
                if self._inbox.empty()
                else self._inbox.get_nowait()
            )
            if not message.reply:
                self._told(message)
                continue
            meta = message.metadata.sequence
            if meta.consumer != self._delivered + 1 or not self._asked:
                raise TimeoutError(f"delivery {self._delivered + 1} is missing")
            self._delivered = meta.consumer
            self._asked[0] -= 1
            if not self._asked[0]:
                self._asked.popleft()
            taken = self._take(message)
            if self._queue.full():
                await self._queue.put(taken)
            else:
                self._queue.put_nowait(taken)
            self._position = meta.stream

    def _told(self, message: Msg) -> None:
        """Take note of what the server says instead of a message: a heartbeat, or the end of a window."""
        status = (message.headers or {}).get("Status", "")
        if status == "100":
            return
        ended = status in {"404", "408"} or (status == "409" and "MaxBytes" in str(message.headers))
        if not ended or not self._asked:
            raise TimeoutError(f"the server ended the reading: {message.headers}")
        self._asked.popleft()

    async def _ask(self) -> None:
        wanted = {
            "batch": _WINDOW_MESSAGES,
            "max_bytes": _WINDOW_BYTES,
            "expires": _EXPIRES_SECONDS * _SECOND,
            "idle_heartbeat": int(_HEARTBEAT_SECONDS * _SECOND),
        }
        assert self._subscription is not None
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._consumer}"
        await self._nc.publish(subject, json.dumps(wanted).encode(), reply=self._subscription.subject)
        self._asked.append(_WINDOW_MESSAGES)
