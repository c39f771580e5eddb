"""``memstream up``: runs parts of the service until it is told to stop, and stops within seconds."""

import asyncio
import atexit
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator

import uvicorn
from sse_starlette.sse import AppStatus

from memstream.events.errors import Unavailable

from .announcement import announced
from .asyncapi import asyncapi_document
from .bootstrap import ALL_PARTS, Part, Service, run
from .gateway.app import create_app
from .settings import Settings

_HTTP_GRACE_SECONDS = 2
_SWITCH_SECONDS = 0.001


class _Server(uvicorn.Server):
    """A uvicorn whose signals are handled by us: there is more to stop than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_until_stopped(
    settings: Settings, parts: Iterable[Part] = ALL_PARTS, *, started: Callable[[Service, str | None], None]
) -> None:
    """Run the parts; ``started`` is called with the service and its HTTP address once everything answers.

    SIGTERM and SIGINT stop it: HTTP first, then what is in work is finished or handed back, then the stores.
    """
    # A thread that computes hands over to the one that answers sooner than Python's 5 ms.
    sys.setswitchinterval(_SWITCH_SECONDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with run(settings, parts) as service:
        _settle_down()
        if "gateway" not in service.parts:
            started(service, None)
            await stop.wait()
            return
        await _serve_http(service, stop, started)


def _settle_down() -> None:
    """Spare what was loaded by now, which stays for good, the passes of the garbage collector: callers wait for them."""
    gc.collect()
    gc.freeze()
    # Extension modules complain at the end about what nobody collects.
    atexit.register(gc.unfreeze)


async def _serve_http(service: Service, stop: asyncio.Event, started: Callable[[Service, str | None], None]) -> None:
    settings = service.settings
    door = listen(settings.host, settings.port)
    host, port = door.getsockname()[:2]
    app = create_app(service.engine, settings, asyncapi_document())
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_HTTP_GRACE_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[door]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104 - compared, not bound
    with announced(settings.data_dir, address):
        started(service, address)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        # Open event streams end when they are told; uvicorn would cut them off with a stack trace.
        AppStatus.should_exit = True
        server.should_exit = True
        await serving
        stopping.cancel()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; raise Unavailable when that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, so that asyncio sends small answers at once (TCP_NODELAY): 40 ms each otherwise.
    door = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except OSError as error:
        door.close()
        raise Unavailable(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port, or 0 for a free one"
        ) from error
    return door
