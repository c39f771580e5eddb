"""The part of a rebuild that is Python's: decoding a batch and applying it, here or in a process of its own.

Applying holds the interpreter; reading the log and writing the stores mostly don't. In a process of its own it
leaves them a processor, and a long log is rebuilt in half the time. Either way the same functions run: ``prepare``
decodes a batch and says what it refers to, ``apply`` takes what the ledger knows of that and returns the changes.
"""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, Self, TypeVar

from memstream.events.errors import MemstreamError, Unavailable
from memstream.events.reading import Stored

from .batch import Batch, applied, decode_batch
from .channel import Channel
from .packing import Packed, pack
from .state import References, State, references

T = TypeVar("T")


class Applying:
    """Batches of one rebuild, decoded ahead and applied in order."""

    def __init__(self) -> None:
        self._prepared: list[tuple[Batch, References]] = []
        # Behind the last batch, which the ledger may not hold yet.
        self._behind: State | None = None

    def prepare(self, messages: Sequence[Stored]) -> References:
        """Decode a batch and return what it refers to; raise RebuildStopped at what cannot be decoded."""
        batch = decode_batch(messages, strict=True)
        wanted = references(batch.events)
        self._prepared.append((batch, wanted))
        return wanted

    def apply(self, state: State) -> Packed:
        """Apply the oldest prepared batch to what the ledger knows; raise RebuildStopped at what cannot be applied."""
        batch, wanted = self._prepared.pop(0)
        if self._behind is not None:
            state.overlay(self._behind, wanted)
        changes = applied(state, batch, strict=True)
        self._behind = state
        return pack(changes, len(batch.events))


class Applier(Protocol):
    """Where batches are applied."""

    async def prepare(self, messages: Sequence[Stored]) -> References:
        """See ``Applying.prepare``."""
        ...

    async def apply(self, state: State) -> Packed:
        """See ``Applying.apply``."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class LocalApplier:
    """Applies in a thread of this process: a short log is done before another process has started."""

    def __init__(self) -> None:
        self._applying = Applying()
        self._pool = ThreadPoolExecutor(1, "applying")

    async def prepare(self, messages: Sequence[Stored]) -> References:
        """See ``Applying.prepare``."""
        return await self._run(lambda: self._applying.prepare(messages))

    async def apply(self, state: State) -> Packed:
        """See ``Applying.apply``."""
        return await self._run(lambda: self._applying.apply(state))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Let the work in hand finish."""
        await asyncio.to_thread(self._pool.shutdown)


class ProcessApplier:
    """Applies in a process of its own, which ends when this one does, however it ends."""

    def __init__(self, process: "subprocess.Popen[bytes]", channel: Channel) -> None:
        self._process = process
        self._channel = channel
        # Requests are answered in the order in which they are made.
        self._pool = ThreadPoolExecutor(1, "applying")

    @classmethod
    def start(cls) -> Self:
        """Start the process; it is not waited for."""
        ours, theirs = Channel.pair()
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        return cls(process, ours)

    async def prepare(self, messages: Sequence[Stored]) -> References:
        """See ``Applying.prepare``."""
        found: References = await self._ask("prepare", [tuple(one) for one in messages])
        return found

    async def apply(self, state: State) -> Packed:
        """See ``Applying.apply``."""
        found: Packed = await self._ask("apply", state)
        return found

    async def _ask(self, name: str, argument: object) -> Any:
        failed, answer = await asyncio.get_running_loop().run_in_executor(self._pool, self._exchange, name, argument)
        if failed:
            raise answer
        return answer

    def _exchange(self, name: str, argument: object) -> tuple[bool, Any]:
        try:
            self._channel.send((name, argument))
            answer: tuple[bool, Any] = self._channel.receive()
        except (EOFError, OSError) as error:
            raise Unavailable(f"the process that applies events ended ({error!r}); repeat the call to go on") from error
        return answer

    async def close(self) -> None:
        """End the process."""
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        await asyncio.to_thread(self._pool.shutdown)
        self._channel.close()


def serve(channel: Channel) -> None:
    """Answer requests until the other side is gone."""
    applying = Applying()
    while True:
        try:
            name, argument = channel.receive()
        except (EOFError, OSError):
            return
        try:
            answer: object = applying.apply(argument) if name == "apply" else applying.prepare(_stored(argument))
            failed = False
        except MemstreamError as error:
            answer, failed = error, True
        channel.send((failed, answer))


def _stored(messages: Sequence[tuple[Any, ...]]) -> list[Stored]:
    return [Stored(*one) for one in messages]


def main() -> None:
    """Serve the channel that is named by its file descriptor."""
    # A batch's objects hold no cycles; walking them again and again would take half of all time.
    gc.disable()
    serve(Channel.inherited(int(sys.argv[1])))
    os._exit(0)


if __name__ == "__main__":
    main()
