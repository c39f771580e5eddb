"""Watching the log while the service runs: one that lost data, was replaced or could drop history ends the writing."""

import asyncio
import logging

from memstream.events.errors import LogIntegrityError, MemstreamError
from memstream.events.log import EventLog

from .memory import MemoryProcess

logger = logging.getLogger("memstream.log")

_EVERY_SECONDS = 1.0


async def watch(log: EventLog, memory: MemoryProcess | None) -> None:
    """Check the log again and again; return once it has failed, with appends refused and the projection stopped."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            await log.check()
        except LogIntegrityError as error:
            logger.critical("the log cannot be trusted any more, nothing is written to it: %s", error)
            if memory is not None:
                await memory.projector.halt(error)
            return
        except MemstreamError:
            # Away for a moment: whoever needs it will say so.
            continue
