"""Connecting to NATS: reconnect for ever, report trouble once, fail with a sentence."""

import contextlib
import logging

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError

from .errors import LogUnavailable

logger = logging.getLogger("memstream.events")


async def connect(url: str, *, name: str = "memstream", timeout: float = 5.0) -> Client:
    """Connect to the NATS server at ``url``; raise LogUnavailable when nobody answers within ``timeout`` seconds.

    Once connected, the client reconnects for as long as it lives.
    """

    async def on_error(error: Exception) -> None:
        # A reader that nats-py is re-creating while the server is away; it tries again by itself.
        logger.debug("nats: %r", error)

    async def on_disconnect() -> None:
        logger.debug("disconnected from %s", url)

    try:
        # One attempt that fails at once: the lasting client below would try for ever.
        first = await nats.connect(
            url,
            name=name,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=max(1, int(timeout)),
            error_cb=on_error,
        )
        await first.close()
        return await nats.connect(
            url,
            name=name,
            error_cb=on_error,
            disconnected_cb=on_disconnect,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,
            connect_timeout=max(1, int(timeout)),
            pending_size=64 * 1024 * 1024,
        )
    except (OSError, NatsError, TimeoutError, ValueError) as error:
        raise LogUnavailable(
            f"no NATS server answers at {url!r} ({error or type(error).__name__}); start one, "
            "or leave the URL out to use the embedded server"
        ) from error


async def disconnect(nc: Client) -> None:
    """Close a connection; harmless when it is closed, or when the server went away first."""
    if not nc.is_closed:
        # Nothing is lost: every append was acknowledged, or raised where it was made.
        with contextlib.suppress(OSError, NatsError):
            await nc.close()
