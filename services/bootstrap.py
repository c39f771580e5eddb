"""The composition root: which parts run in this process, and how they are wired."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from faststream.nats import NatsBroker
from nats.errors import Error as NatsError

from memstream.events.connection import connect, disconnect
from memstream.events.datadir import DataDirectory
from memstream.events.errors import MemstreamError
from memstream.events.log import EventLog
from memstream.events.server import EmbeddedServer
from memstream.events.tasks import end

from .embedders import DEFAULT, SPACE_TYPES, EmbedderChoice, embedder_named
from .embedding import FactEmbedding
from .engine import Engine
from .evolving_consumer import EvolutionConsumer
from .extraction import ResourceExtraction
from .memory import MemoryProcess
from .operating import Operations
from .operations import Operator
from .protocols import Embedder, Extractor
from .reads import Port
from .rpc import RemotePort, serve, serve_operations
from .settings import Settings
from .thinking import open_thinking
from .watching import watch
from .workers import WorkerPool

Part = Literal["gateway", "memory", "extraction", "embedding"]
_FOLLOW_AGAIN_SECONDS = 1.0
ALL_PARTS: tuple[Part, ...] = ("memory", "extraction", "embedding", "gateway")


@dataclass(frozen=True)
class Service:
    """What runs in this process."""

    settings: Settings
    nats_url: str
    log: EventLog
    engine: Engine
    parts: frozenset[Part]
    memory: MemoryProcess | None
    broker: NatsBroker


@asynccontextmanager
async def run(
    settings: Settings,
    parts: Iterable[Part] = ALL_PARTS,
    *,
    embedder: Embedder | None = None,
    extractor: Extractor | None = None,
) -> AsyncIterator[Service]:
    """Start the parts, yield them running, and stop them in order.

    Without ``settings.nats_url`` the NATS server is started in the data directory, which is then ours alone.
    """
    chosen: frozenset[Part] = frozenset(parts)
    async with AsyncExitStack() as stack:
        local = embedder or embedder_named(DEFAULT)
        # Loads the model in a thread while the rest starts, so that the first caller does not wait for it.
        warming = asyncio.create_task(local.embed(["warm up " * 1_000]), name="embedder")
        stack.push_async_callback(end, warming)
        url = await _server(settings, chosen, stack)
        nc = await connect(url, name="memstream-log")
        stack.push_async_callback(disconnect, nc)
        log = await EventLog.open(nc, replicas=settings.replicas)
        thinking = await open_thinking(settings, log, stack)
        vectors = await thinking.embedder_choice(log, local)
        spaces_until = await vectors.read(log)
        memory: MemoryProcess | None = None
        remote = RemotePort(nc)
        port: Port = remote
        operator: Operator = remote
        if "memory" in chosen:
            memory = port = await MemoryProcess.open(
                log, settings.data_dir / "projection", vectors, thinking.advisor, thinking.writer
            )
            stack.push_async_callback(memory.close)
            operator = operations = Operations(log, memory, vectors, thinking)
            if settings.evolve_after:
                consumer = EvolutionConsumer(operations.evolution, memory, settings.evolve_after)
                await consumer.start()
                stack.push_async_callback(consumer.stop)
        broker = _broker(url)
        pool = WorkerPool(broker, log.nc.jetstream())
        if memory is not None:
            serve(broker, memory)
            serve_operations(broker, nc, operator)
        if "extraction" in chosen:
            work = ResourceExtraction(log, port, extractor or thinking.extractor(port, vectors), thinking.media)
            limits = thinking.models.limits if thinking.models else None
            pool.add_extraction(work, settings.extraction_concurrency, limits.check if limits else None)
        if "embedding" in chosen:
            await _fill_spaces(log, vectors, pool)
        await broker.start()
        stack.push_async_callback(_stop, broker)
        stack.push_async_callback(pool.stop)
        follower = _follow_spaces(log, vectors, pool if "embedding" in chosen else None, spaces_until)
        following = asyncio.create_task(follower, name="spaces")
        stack.push_async_callback(end, following)
        watching = asyncio.create_task(watch(log, memory), name="log watch")
        stack.push_async_callback(end, watching)
        engine = Engine(log, port, operator, settings, thinking.modalities)
        yield Service(settings, url, log, engine, chosen, memory, broker)


async def _server(settings: Settings, parts: frozenset[Part], stack: AsyncExitStack) -> str:
    """Return the URL of the NATS server, started here when none was named; claim the data directory if we write it."""
    owns_files = settings.nats_url is None or "memory" in parts
    if not owns_files:
        assert settings.nats_url is not None
        return settings.nats_url
    directory = stack.enter_context(DataDirectory.claim(settings.data_dir))
    if settings.nats_url is not None:
        return settings.nats_url
    server = await stack.enter_async_context(await EmbeddedServer.start(directory))
    return server.url


async def _fill_spaces(log: EventLog, vectors: EmbedderChoice, pool: WorkerPool) -> None:
    """Take facts for every space that is to be filled, and for no other."""
    wanted = {filled.queue: filled for filled in vectors.filled}
    await pool.keep_embedding(wanted.keys())
    for queue, filled in wanted.items():
        pool.add_embedding(FactEmbedding(log, filled.embedder), queue, filled.after)


async def _follow_spaces(log: EventLog, vectors: EmbedderChoice, pool: WorkerPool | None, after: int) -> None:
    """Fill spaces that are announced while this process runs, and ask in the one that is activated."""
    while True:
        # A server that is away is asked again; an event that cannot be read, or names a model that is not configured here,
        # is behind us then, and the projection parks it.
        with contextlib.suppress(MemstreamError):
            async for stored in log.follow(after=after, types=SPACE_TYPES):
                after = stored.position
                await vectors.apply(stored.decode())
                if pool is not None:
                    await _fill_spaces(log, vectors, pool)
                    await pool.start_added()
        await asyncio.sleep(_FOLLOW_AGAIN_SECONDS)


async def _stop(broker: NatsBroker) -> None:
    with contextlib.suppress(NatsError, OSError):
        # The server may be gone already; there is nothing to tell it then.
        await broker.stop()


def _broker(url: str) -> NatsBroker:
    return NatsBroker(
        url,
        name="memstream-workers",
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        graceful_timeout=3.0,
        # Its own logging writes two lines for every message.
        logger=None,
        log_level=logging.WARNING,
    )
