"""Deployments to be struck: everything in one process, a projector of its own, or a cluster below."""

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Protocol

import httpx
from nodes import Cluster, Node, free_ports
from processes import Service
from waiting import until, until_now

START_SECONDS = 60.0


class Deployment(Protocol):
    """Something that runs a service, and the faults that it can be struck with."""

    faults: tuple[str, ...]
    # Those after which a client has to connect again, to another address.
    fatal: frozenset[str]

    @property
    def url(self) -> str:
        """Where the service answers over HTTP."""
        ...

    @property
    def nats_url(self) -> str:
        """Where its log is."""
        ...

    async def start(self) -> None:
        """Start everything and wait until it answers."""
        ...

    async def strike(self, fault: str) -> None:
        """Kill something."""
        ...

    async def recover(self) -> None:
        """Start again what nobody else starts, and wait until the service calls itself ready."""
        ...

    async def mend(self) -> None:
        """Bring back what it could do without."""
        ...

    def kill(self) -> None:
        """Leave nothing behind."""
        ...


class Embedded:
    """`memstream up`: all parts and the NATS server in one family of processes."""

    faults: tuple[str, ...] = ("service", "server")
    fatal: frozenset[str] = frozenset({"service"})

    def __init__(self, data: Path, chance: random.Random) -> None:
        self._data = data
        self._chance = chance
        self._service: Service | None = None

    @property
    def url(self) -> str:
        return self._running.url

    @property
    def nats_url(self) -> str:
        return self._running.nats_url

    @property
    def _running(self) -> Service:
        assert self._service is not None
        return self._service

    async def start(self) -> None:
        self._service = await asyncio.to_thread(Service, self._data)
        await ready(self.url)

    async def strike(self, fault: str) -> None:
        await asyncio.to_thread(self._strike, fault)

    def _strike(self, fault: str) -> None:
        if fault == "server":
            server = self._running.server()
            assert server is not None
            server.kill()
            return
        # Alone, it takes its server with it in order; both at once is a power failure.
        self._chance.choice([self._running.kill, self._running.kill_all])()
        self._service = None
        if self._chance.random() < 0.25:
            # Again, while it starts: its server runs, and the projection is on its way.
            starting = Service(self._data, await_ready=False)
            until_now(lambda: starting.server() is not None, timeout=START_SECONDS)
            starting.kill_all()

    async def recover(self) -> None:
        if self._service is None:
            await self.start()
        await ready(self.url)

    async def mend(self) -> None:
        return

    def kill(self) -> None:
        if self._service is not None:
            self._service.kill()


class Split:
    """A NATS server, the projector and the rest: three processes, of which the first two are struck."""

    faults: tuple[str, ...] = ("projector", "server")
    fatal: frozenset[str] = frozenset()

    def __init__(self, root: Path) -> None:
        self._root = root
        self._node = Node(root, "nats", free_ports(1)[0])
        self._services: dict[str, Service] = {}

    @property
    def url(self) -> str:
        return self._services["gateway"].url

    @property
    def nats_url(self) -> str:
        return self._node.url

    async def start(self) -> None:
        self._node.start()
        await until(self._node.listens)
        await self._serve("memory")
        await self._serve("gateway", "extraction", "embedding")
        await ready(self.url)

    async def _serve(self, *parts: str) -> None:
        self._services[parts[0]] = await asyncio.to_thread(
            lambda: Service(self._root / parts[0], *parts, nats_url=self.nats_url)
        )

    async def strike(self, fault: str) -> None:
        if fault == "server":
            await asyncio.to_thread(self._node.kill)
        else:
            await asyncio.to_thread(self._services.pop("memory").kill)

    async def recover(self) -> None:
        if not await self._node.listens():
            self._node.start()
        if "memory" not in self._services:
            await self._serve("memory")
        await ready(self.url)

    async def mend(self) -> None:
        return

    def kill(self) -> None:
        for service in self._services.values():
            service.kill()
        self._node.kill()


class Clustered:
    """`memstream up` on a log that three nodes hold; whoever leads it is struck."""

    faults: tuple[str, ...] = ("leader",)
    fatal: frozenset[str] = frozenset()

    def __init__(self, root: Path) -> None:
        self._root = root
        self._cluster = Cluster(root)
        self._service: Service | None = None
        self._struck: Node | None = None

    @property
    def url(self) -> str:
        assert self._service is not None
        return self._service.url

    @property
    def nats_url(self) -> str:
        # A client of one node hears of the others.
        return self._cluster.nodes[0].url

    async def start(self) -> None:
        await self._cluster.start()
        self._service = await asyncio.to_thread(
            lambda: Service(self._root / "data", nats_url=self.nats_url, MEMSTREAM_REPLICAS="3")
        )
        await ready(self.url)

    async def strike(self, fault: str) -> None:
        self._struck = await self._cluster.leader()
        await asyncio.to_thread(self._struck.kill)

    async def recover(self) -> None:
        # With two of three, it works on.
        await ready(self.url)

    async def mend(self) -> None:
        # The next one may be struck once the last one has all that it has missed.
        if self._struck is not None:
            self._struck.start()
            self._struck = None
        await until(self._cluster.whole, timeout=START_SECONDS)

    def kill(self) -> None:
        if self._service is not None:
            self._service.kill()
        self._cluster.kill()


async def ready(url: str) -> None:
    """Return once a service calls itself ready."""
    async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as client:

        async def says_so() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return (await client.get("/health/ready")).status_code == httpx.codes.OK
            return False

        await until(says_so, timeout=START_SECONDS)
