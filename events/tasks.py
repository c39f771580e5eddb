"""Ending a background task for certain."""

import asyncio
from typing import Any

_AGAIN_SECONDS = 0.2


async def end(*tasks: "asyncio.Task[Any] | None") -> None:
    """Cancel tasks until they are done: nats-py may swallow one cancellation while it publishes."""
    known = [task for task in tasks if task is not None]
    while left := [task for task in known if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_AGAIN_SECONDS)
    for task in known:
        if not task.cancelled():
            # Mark a failure as seen: whoever ends a task no longer asks for its result.
            task.exception()
