"""NATS servers of a test's own, alone or three in a cluster: killed, stopped for a while, started again."""

import contextlib
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nats.errors import Error as NatsError
from nats.js.api import ClusterInfo
from waiting import until

from memstream.events.connection import connect, disconnect
from memstream.events.errors import LogUnavailable, MemstreamError
from memstream.events.log import EventLog
from memstream.events.server import server_binary
from memstream.events.stream import STREAM


class Node:
    """One nats-server on loopback whose acknowledged messages are on disk; ``routes`` are its cluster's ports."""

    def __init__(self, root: Path, name: str, port: int, route: int = 0, routes: tuple[int, ...] = ()) -> None:
        self.name = name
        self.url = f"nats://127.0.0.1:{port}"
        self._port = port
        self._root = root / name
        self._root.mkdir(parents=True)
        others = ", ".join(f'"nats://127.0.0.1:{one}"' for one in routes if one != route)
        cluster = f'cluster {{ name: "test", listen: "127.0.0.1:{route}", routes: [{others}] }}' if routes else ""
        self._config = self._root / "server.conf"
        self._config.write_text(
            f'server_name: "{name}"\nlisten: "127.0.0.1:{port}"\nmax_control_line: 16KB\n'
            f'jetstream {{ store_dir: "{self._root / "store"}", sync_interval: always }}\n{cluster}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it does not wait for an answer."""
        assert self._process is None
        with (self._root / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                [server_binary(), "--config", str(self._config)], stdout=output, stderr=output
            )

    def kill(self) -> None:
        """Kill -9; harmless when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal: SIGSTOP and SIGCONT make it a server that hangs for a while."""
        assert self._process is not None
        self._process.send_signal(number)

    async def listens(self) -> bool:
        """Tell whether it accepts connections."""
        with socket.socket() as door:
            return door.connect_ex(("127.0.0.1", self._port)) == 0


class Cluster:
    """Three nodes that hold the log three times."""

    def __init__(self, root: Path) -> None:
        ports = free_ports(6)
        routes = tuple(ports[3:])
        self.nodes = [Node(root, f"n{number}", ports[number], routes[number], routes) for number in range(3)]

    async def start(self) -> None:
        """Start all nodes and create the log; return once every copy of it is current."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            await until(node.listens)

        async def created() -> bool:
            # Its nodes have not found each other at first, or have elected nobody.
            with contextlib.suppress(LogUnavailable):
                async with open_log(self.nodes[0].url, replicas=len(self.nodes)):
                    return True
            return False

        await until(created, timeout=30)
        await until(self.whole, timeout=30)

    async def leader(self) -> Node:
        """Return the node that leads the log."""
        info = await self._info()
        return next(node for node in self.nodes if node.name == info.leader)

    async def whole(self) -> bool:
        """Tell whether the log has a leader and two followers that have all that it has."""
        try:
            info = await self._info()
        except (MemstreamError, NatsError, TimeoutError):
            return False
        current = [one for one in info.replicas or () if one.current and not one.offline and not one.lag]
        return bool(info.leader) and len(current) == len(self.nodes) - 1

    async def _info(self) -> ClusterInfo:
        nc = await connect(self.nodes[0].url, timeout=2)
        try:
            found = (await nc.jetstream(timeout=2).stream_info(STREAM)).cluster
        finally:
            await disconnect(nc)
        assert found is not None
        return found

    def kill(self) -> None:
        """Leave nothing behind."""
        for node in self.nodes:
            node.kill()


@asynccontextmanager
async def open_log(url: str, *, replicas: int = 1, timeout: float = 10.0) -> AsyncIterator[EventLog]:
    """Open a log over a connection of our own, which is closed also when the log cannot be opened."""
    nc = await connect(url, timeout=2)
    try:
        yield await EventLog.open(nc, replicas=replicas, timeout=timeout)
    finally:
        await disconnect(nc)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on."""
    doors = [socket.socket() for _ in range(count)]
    for door in doors:
        door.bind(("127.0.0.1", 0))
    ports = [int(door.getsockname()[1]) for door in doors]
    for door in doors:
        door.close()
    return ports
