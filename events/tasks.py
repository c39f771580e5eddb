"""Waiting until background work has ended for certain."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_AGAIN_SECONDS = 0.2
T = TypeVar("T")


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


async def all_ended(*works: Coroutine[Any, Any, None]) -> None:
    """Run works side by side and wait until every one has ended; then raise the first failure, if there is one."""
    for failure in await asyncio.gather(*works, return_exceptions=True):
        if failure is not None:
            raise failure


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await work that must not be torn: a cancellation waits for its end before it goes on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
