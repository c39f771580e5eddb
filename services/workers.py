"""The work queues as FastStream subscribers: durable, shared by any number of workers, acknowledged by hand.

Messages are taken raw and decoded one by one: a bad one is left to the projector, which parks it with its reason.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import cast

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage
from faststream.nats.subscriber.usecases import ConcurrentPushStreamSubscriber
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy as NatsAckPolicy
from nats.js.api import ConsumerConfig, DeliverPolicy

from memstream.events.errors import InvalidEvent, Unavailable
from memstream.events.reading import RECORDED_HEADER, Stored
from memstream.events.stream import STREAM
from memstream.events.subjects import ROOT, Scope
from memstream.events.tasks import end
from memstream.events.types import Event, ResourceIngested

from .embedding import EMBEDDED_TYPES, FactEmbedding
from .extraction import ResourceExtraction
from .models.failures import LimitReached
from .waiting import Later, WaitingRoom

logger = logging.getLogger("memstream.workers")

# The stream exists already: a subscriber that declares it would silently change its configuration.
_STREAM = JStream(STREAM, declare=False)
_ACK_WAIT_SECONDS = 30.0
_BACKOFF_SECONDS = (0.5, 2.0, 5.0)

# Takes an event and whether something may have come of it before; returns whether it is done with.
Handler = Callable[[Event, bool], Awaitable[bool]]


class WorkerPool:
    """The subscribers of one process; ``stop`` hands back what is in work."""

    def __init__(self, broker: NatsBroker, jetstream: JetStreamContext) -> None:
        self._broker = broker
        self._jetstream = jetstream
        self._working: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._subscribers: list[ConcurrentPushStreamSubscriber] = []
        self._embedding: dict[str, list[ConcurrentPushStreamSubscriber]] = {}

    def add_extraction(
        self, work: ResourceExtraction, concurrency: int, check: Callable[[Scope], None] | None = None
    ) -> None:
        """Take ingested resources from the shared extraction queue.

        ``check`` raises LimitReached for a user who must wait: asked first about what waited already.
        """
        failures: dict[str, int] = {}

        room = WaitingRoom(self._jetstream, "extraction", _slots(concurrency))

        async def handle(event: Event, _: bool) -> bool:
            assert isinstance(event, ResourceIngested)
            try:
                if check is not None and event.position in room:
                    check(event.scope)
                await work.process(event)
            except LimitReached as error:
                # What joins others that wait is no news.
                level = logging.DEBUG if len(room) else logging.WARNING
                logger.log(level, "resource %s waits: %s", event.data.resource_id, error)
                raise Later(await room.admit(event.position)) from error
            except Unavailable as error:
                # Not this resource's fault: it waits, however long that takes.
                logger.warning("resource %s waits: %s", event.data.resource_id, error)
                return False
            except Exception as error:  # noqa: BLE001 - whatever it is, it becomes an event with its reason
                attempt = failures[event.id] = failures.get(event.id, 0) + 1
                logger.warning("resource %s, attempt %d: %s", event.data.resource_id, attempt, error)
                if not await work.fail(event, error, attempt):
                    return False
            failures.pop(event.id, None)
            await room.leave(event.position)
            return True

        self._subscribe("extraction", "resource.ingested", handle, concurrency)

    def add_embedding(self, work: FactEmbedding, queue: str, after: int | None = None) -> None:
        """Take facts from the shared embedding queue of one space: from the beginning, or behind a position."""
        if queue in self._embedding:
            return

        async def handle(event: Event, again: bool) -> bool:
            await work.process(event, again=again)
            return True

        before = len(self._subscribers)
        for event_type in EMBEDDED_TYPES:
            self._subscribe(f"{queue}-{event_type.replace('.', '-')}", event_type, handle, 4, after)
        self._embedding[queue] = self._subscribers[before:]

    async def keep_embedding(self, queues: Collection[str]) -> None:
        """End the embedding queues that are not among these."""
        for queue in [queue for queue in self._embedding if queue not in queues]:
            ended = self._embedding.pop(queue)
            self._subscribers = [one for one in self._subscribers if one not in ended]
            await self._unsubscribe(ended)

    async def start_added(self) -> None:
        """Start the subscribers that were added while the broker was running."""
        for subscriber in self._subscribers:
            if not subscriber.running:
                await subscriber.start()

    async def stop(self, grace: float = 2.0) -> None:
        """Let work in hand finish for ``grace`` seconds, then hand the rest back to the queue."""
        self._stopping = True
        await self._unsubscribe(self._subscribers)
        if self._working:
            await asyncio.wait(self._working, timeout=grace)
        await end(*self._working)

    async def _unsubscribe(self, subscribers: Iterable[ConcurrentPushStreamSubscriber]) -> None:
        """Ask for no more work first: what is handed back must reach another worker, not this one again."""
        for subscriber in subscribers:
            subscription, subscriber.subscription = subscriber.subscription, None
            if subscription is not None:
                # A server that is away hands nothing out.
                with contextlib.suppress(NatsError, OSError):
                    await subscription.unsubscribe()

    def _subscribe(
        self, queue: str, event_type: str, handler: Handler, concurrency: int, after: int | None = None
    ) -> None:
        pending = _slots(concurrency)
        config = ConsumerConfig(
            ack_policy=NatsAckPolicy.EXPLICIT,
            ack_wait=_ACK_WAIT_SECONDS,
            deliver_policy=DeliverPolicy.ALL if after is None else DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=None if after is None else after + 1,
            deliver_subject=f"memstream-work.{queue}",
            max_ack_pending=pending,
        )
        subscriber = self._broker.subscriber(
            f"{ROOT}.*.*.{event_type}",
            queue=queue,
            stream=_STREAM,
            config=config,
            ack_policy=AckPolicy.MANUAL,
            # All that the server hands out is known to us at once, and kept from others while it waits for its turn.
            max_workers=pending,
            decoder=_raw,
            title=queue,
            description=f"{event_type} → {queue.split('-', maxsplit=1)[0]}",
        )

        turn = asyncio.Semaphore(concurrency)

        async def in_turn(event: Event, again: bool) -> bool:
            async with turn:
                # What has not begun when we stop is another worker's.
                return not self._stopping and await handler(event, again)

        async def consume(message: NatsMessage) -> None:
            await self._consume(message.raw_message, in_turn)

        subscriber(consume)
        self._subscribers.append(subscriber)

    async def _consume(self, message: Msg, handler: Handler) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._stopping:
            await message.nak()
            return
        self._working.add(cast("asyncio.Task[None]", task))
        beat = asyncio.create_task(_keep_alive(message))
        try:
            await self._handle(message, handler)
        except asyncio.CancelledError:
            await message.nak()
        finally:
            beat.cancel()
            self._working.discard(cast("asyncio.Task[None]", task))

    @staticmethod
    async def _handle(message: Msg, handler: Handler) -> None:
        meta = message.metadata
        stored = Stored(meta.sequence.stream, message.subject, message.data, meta.timestamp, meta.num_pending)
        try:
            event = stored.decode()
        except InvalidEvent:
            await message.ack()
            return
        attempt = int(meta.num_delivered or 1)
        try:
            # An import brings what came of an event, too; so did, perhaps, a worker that died before it said so.
            done = await handler(event, attempt > 1 or RECORDED_HEADER in (message.headers or {}))
        except Later as later:
            await message.nak(delay=later.seconds)
            return
        except Exception as error:  # noqa: BLE001 - a subscriber that raises would never see this message again
            logger.warning("position %d, attempt %d: %s", stored.position, attempt, error)
            done = False
        if done:
            await message.ack()
        else:
            await message.nak(delay=_BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS)) - 1])


def _slots(concurrency: int) -> int:
    """Return how much work the server hands out at once: enough that no turn waits for the network."""
    return max(64, 4 * concurrency)


async def _keep_alive(message: Msg) -> None:
    """Tell the server that long work goes on, so that nobody else starts it."""
    while True:
        await asyncio.sleep(_ACK_WAIT_SECONDS / 3)
        await message.in_progress()


async def _raw(message: NatsMessage) -> bytes:
    return bytes(message.body)
