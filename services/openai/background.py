"""What is written to memory while the caller goes on; a memory waits for it before it closes."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any
from weakref import WeakKeyDictionary

from memstream.services.asynchronous import AsyncMemory

Work = Callable[[], Coroutine[Any, Any, None]]
_EXIT_SECONDS = 10.0


class Background:
    """The writes in work for one memory; used in that memory's event loop alone."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, memory: AsyncMemory) -> "Background":
        """Return the one of a memory, however many clients share it; the memory's ``close`` waits for it."""
        found = _BACKGROUNDS.get(memory)
        if found is None:
            found = _BACKGROUNDS[memory] = cls()
            memory.before_close(found.drain)
        return found

    def start(self, work: Work) -> asyncio.Task[None]:
        """Begin and return at once."""
        task = asyncio.create_task(work(), name="memorize an exchange")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def run(self, work: Work) -> None:
        """Begin and wait for it."""
        await self.start(work)

    async def drain(self) -> None:
        """Wait until nothing is in work."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))


_BACKGROUNDS: WeakKeyDictionary[AsyncMemory, Background] = WeakKeyDictionary()
_writing: set[Future[None]] = set()


def finish_before_exit(writing: "Future[None]") -> None:
    """Have the interpreter wait for a write in another thread: a script may end right behind its last call."""
    _writing.add(writing)
    writing.add_done_callback(_writing.discard)


def _finish() -> None:
    wait(set(_writing), timeout=_EXIT_SECONDS)


# atexit would be too late: by then no thread pool takes work any more, which a name look-up or a file needs.
threading._register_atexit(_finish)  # type: ignore[attr-defined]  # noqa: SLF001
