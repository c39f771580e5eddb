"""What is written to memory while the caller goes on; a memory, and the interpreter, wait for it before they end."""

import asyncio
import concurrent.futures.thread  # noqa: F401 - see the end of this module
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from memstream.events.errors import MemstreamError
from memstream.services.asynchronous import AsyncMemory
from memstream.services.synchronous import Memory

from .gathering import Gathering

Work = Callable[[], Coroutine[Any, Any, None]]
_EXIT_SECONDS = 10.0


class Background:
    """The writes in work for one memory, and those that wait for more; used in that memory's event loop alone."""

    def __init__(self) -> None:
        self.gathering = Gathering(self.start)
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, memory: AsyncMemory | Memory) -> "Background":
        """Return the one of a memory, however many clients share it; the memory's ``close`` waits for it."""
        home = memory.asynchronous if isinstance(memory, Memory) else memory
        with _LOCK:
            found = _BACKGROUNDS.get(home)
            if found is None:
                found = _BACKGROUNDS[home] = cls()
                home.before_close(found.drain)
            if isinstance(memory, Memory):
                _open_memories.difference_update([one for one in _open_memories if one.closed])
                _open_memories.add(memory)
        return found

    def start(self, work: Work) -> None:
        """Begin and return at once."""
        task = asyncio.create_task(work(), name="memorize an exchange")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def started(self, work: Work) -> None:
        """Begin; for whoever is in another thread."""
        self.start(work)

    async def drain(self) -> None:
        """Write what waits for more, and return when nothing is in work."""
        # An exchange that is in work may still join those that wait.
        while self._tasks or self.gathering:
            self.gathering.release()
            await asyncio.wait(set(self._tasks))


_BACKGROUNDS: WeakKeyDictionary[AsyncMemory, Background] = WeakKeyDictionary()
_open_memories: set[Memory] = set()
_LOCK = threading.Lock()


def _finish() -> None:
    """Drain the memories that nobody has closed: a script may end right behind its last call."""
    for memory in _open_memories:
        if not memory.closed:
            # The interpreter ends: nobody is left to be told.
            with suppress(TimeoutError, MemstreamError):
                memory.start(Background.of(memory).drain()).result(_EXIT_SECONDS)


# atexit would be too late: by then no thread pool takes work any more, which a name look-up or a file needs. The last
# to register is called first, so the pools have to be imported before.
threading._register_atexit(_finish)  # type: ignore[attr-defined]  # noqa: SLF001 - what concurrent.futures itself does
