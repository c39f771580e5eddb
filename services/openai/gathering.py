"""Exchanges of one session that wait for each other, to be memorized as one conversation.

Where a language model extracts, each resource costs a call, and a pronoun finds its referent within one resource alone.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

Message = dict[str, str]
Write = Callable[[list[Message]], Coroutine[Any, Any, None]]
Start = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@dataclass
class _Batch:
    write: Write
    timer: asyncio.TimerHandle | None = None
    messages: list[Message] = field(default_factory=list[Message])
    exchanges: int = 0


class Gathering:
    """What waits, by session; ``start`` begins to write a batch. Used in one event loop alone."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._waiting: dict[tuple[str | None, ...], _Batch] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(
        self, key: tuple[str | None, ...], messages: list[Message], write: Write, *, most: int, idle: float
    ) -> None:
        """Take an exchange in; it is written with those before it, at the ``most``-th or after ``idle`` seconds."""
        batch = self._waiting.setdefault(key, _Batch(write))
        batch.messages += messages
        batch.exchanges += 1
        if batch.timer:
            batch.timer.cancel()
        if batch.exchanges >= most:
            self._release(key)
        else:
            batch.timer = asyncio.get_running_loop().call_later(idle, self._release, key)

    def release(self) -> None:
        """Write all that waits."""
        for key in list(self._waiting):
            self._release(key)

    def _release(self, key: tuple[str | None, ...]) -> None:
        batch = self._waiting.pop(key)
        if batch.timer:
            batch.timer.cancel()
        self._start(partial(batch.write, batch.messages))
