"""Waiting for a condition: the only way in which a test lets time pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], *, timeout: float = 20.0) -> None:
    """Return once ``condition`` holds; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not await condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        await asyncio.sleep(0.02)


def until_now(condition: Callable[[], bool], *, timeout: float = 20.0) -> None:
    """Return once ``condition`` holds, for tests without asyncio; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.02)
