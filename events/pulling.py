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
from nats.errors import ConnectionClosedError
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
# Heartbeats that may be missing.
_SILENT_BEATS = 3
_INACTIVE_SECONDS = 60.0
_AGAIN_SECONDS = 0.2
_OPEN_SECONDS = 10.0
# What a leader took and then died of is never answered.
_ANSWER_SECONDS = 2.0
_SECOND = 1_000_000_000
_WANTED = json.dumps(
    {
        "batch": _WINDOW_MESSAGES,
        "max_bytes": _WINDOW_BYTES,
        "expires": _EXPIRES_SECONDS * _SECOND,
        "idle_heartbeat": int(_HEARTBEAT_SECONDS * _SECOND),
    }
).encode()


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
        self._js = nc.jetstream(timeout=_ANSWER_SECONDS)
        self._subjects = subjects
        self._headers_only = headers_only
        self._take = take
        self._queue = queue
        self._reading: _Reading | None = None
        self._subscription: Subscription | None = None
        self._consumer = self._inbox = ""
        self._position = 0

    async def open(self, after: int, since: datetime | None) -> int:
        """Make the consumer behind a position, or at a time; return how many messages wait for it."""
        self._position = after
        deadline = asyncio.get_running_loop().time() + _OPEN_SECONDS
        while True:
            try:
                return await self._make(since)
            except (NatsError, APIError, TimeoutError) as error:
                await self.close()
                if asyncio.get_running_loop().time() > deadline or isinstance(error, ConnectionClosedError):
                    raise LogUnavailable(f"the log cannot be read: {error!r}; is the server up?") from error
            await asyncio.sleep(_AGAIN_SECONDS)

    async def run(self) -> None:
        """Hand messages on until cancelled; whatever happens to the server meanwhile."""
        while True:
            try:
                await self._watch()
            except (NatsError, APIError, TimeoutError, OSError) as error:
                logger.info("reading goes on behind position %d: %r", self._position, error)
                await self._again()

    async def close(self) -> None:
        """Let go of the consumer; the server forgets it by itself when it is away."""
        self._reading = None
        subscription, consumer = self._subscription, self._consumer
        self._subscription, self._consumer = None, ""
        # Tidying up: a server that is away forgets its consumer by itself.
        with contextlib.suppress(NatsError, APIError, TimeoutError, OSError):
            if subscription is not None:
                await subscription.unsubscribe()
            if consumer:
                await asyncio.wait_for(self._js.delete_consumer(STREAM, consumer), _HEARTBEAT_SECONDS)

    async def _make(self, since: datetime | None = None) -> int:
        reading = _Reading()

        async def arrive(message: Msg) -> None:
            # What still comes from a consumer that was given up has come, or will, from the next one.
            if reading is self._reading and reading.failure is None:
                await self._handle(reading, message)

        self._inbox = self._nc.new_inbox()
        # No more comes than was asked for: the library's own limits would drop messages, not slow them down.
        self._subscription = await self._nc.subscribe(
            self._inbox, cb=arrive, pending_msgs_limit=0, pending_bytes_limit=0
        )
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
        self._reading = reading
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

    async def _watch(self) -> None:
        """Ask for messages, then wait until what arrives fails, or nothing arrives any more."""
        reading = self._reading
        assert reading is not None
        await self._ask_again(reading)
        silent = 0
        while reading.failure is None:
            heard = reading.heard
            # A beat that passes in silence is counted below.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reading.ended.wait(), _HEARTBEAT_SECONDS)
            # While a message waits for its place in the queue, nobody listens to the server.
            silent = silent + 1 if heard == reading.heard and not reading.handing else 0
            if silent > _SILENT_BEATS:
                raise TimeoutError(f"the server was silent for {silent} seconds")
        raise reading.failure

    async def _handle(self, reading: "_Reading", message: Msg) -> None:
        reading.heard += 1
        reading.handing = True
        try:
            await self._arrived(reading, message)
        except Exception as error:  # noqa: BLE001 - raised where the reader waits, not in the library's callback
            reading.failure = error
            reading.ended.set()
        finally:
            reading.handing = False

    async def _arrived(self, reading: "_Reading", message: Msg) -> None:
        """Hand one message on; as long as there is no room for it, none is taken behind it."""
        if not message.reply:
            reading.told(message)
            await self._ask_again(reading)
            return
        sequence = message.metadata.sequence
        reading.delivered(sequence.consumer)
        await self._ask_again(reading)
        taken = self._take(message)
        if self._queue.full():
            await self._queue.put(taken)
        else:
            self._queue.put_nowait(taken)
        self._position = sequence.stream

    async def _ask_again(self, reading: "_Reading") -> None:
        while len(reading.asked) < _WINDOWS:
            reading.asked.append(_WINDOW_MESSAGES)
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._consumer}"
            await self._nc.publish(subject, _WANTED, reply=self._inbox)


class _Reading:
    """What one consumer was asked for, has delivered, and how that went."""

    def __init__(self) -> None:
        self.asked: deque[int] = deque()
        self.heard = 0
        self.handing = False
        self.failure: Exception | None = None
        self.ended = asyncio.Event()
        self._delivered = 0

    def delivered(self, number: int) -> None:
        """Count one delivery; raise TimeoutError when the one before it is missing."""
        if number != self._delivered + 1 or not self.asked:
            raise TimeoutError(f"delivery {self._delivered + 1} is missing")
        self._delivered = number
        self.asked[0] -= 1
        if not self.asked[0]:
            self.asked.popleft()

    def told(self, message: Msg) -> None:
        """Take note of what the server says instead of a message: a heartbeat, or the end of what was asked for."""
        status, said = (message.headers or {}).get("Status", ""), str(message.headers)
        # A window of as many messages as were asked for has been counted to its end.
        if status == "100" or (status == "409" and "Batch Completed" in said):
            return
        ended = status in {"404", "408"} or (status == "409" and "MaxBytes" in said)
        if not ended or not self.asked:
            raise TimeoutError(f"the server ended the reading: {message.headers}")
        self.asked.popleft()
