"""Streams that pass on what they get, chunk by chunk, and say when they are over."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from openai import AsyncStream, Stream

ChunkT = TypeVar("ChunkT")


class HeardStream(Stream[ChunkT]):
    """The caller's stream. ``heard`` gets every chunk; ``ended`` is called once, when it was read or left.

    A stream that fails has no end: its call failed, and the caller will repeat it.
    """

    def __init__(self, stream: Stream[ChunkT], heard: Callable[[Any], None], ended: Callable[[], None]) -> None:
        # The same attributes, so that whoever looks at the response or the client finds them.
        vars(self).update(vars(stream))
        self._stream = stream
        self._heard = heard
        self._ended: Callable[[], None] | None = ended

    def __next__(self) -> ChunkT:
        try:
            chunk = next(self._stream)
        except StopIteration:
            self._end()
            raise
        except BaseException:
            self._ended = None
            raise
        self._heard(chunk)
        return chunk

    def __iter__(self) -> Iterator[ChunkT]:
        try:
            while True:
                try:
                    chunk = next(self)
                except StopIteration:
                    return
                yield chunk
        finally:
            self._end()

    def close(self) -> None:
        """Close the response; what came until now is the answer."""
        self._stream.close()
        self._end()

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended:
            ended()


class AsyncHeardStream(AsyncStream[ChunkT]):
    """``HeardStream`` for asyncio."""

    def __init__(self, stream: AsyncStream[ChunkT], heard: Callable[[Any], None], ended: Callable[[], None]) -> None:
        vars(self).update(vars(stream))
        self._stream = stream
        self._heard = heard
        self._ended: Callable[[], None] | None = ended

    async def __anext__(self) -> ChunkT:
        try:
            chunk = await anext(self._stream)
        except StopAsyncIteration:
            self._end()
            raise
        except BaseException:
            self._ended = None
            raise
        self._heard(chunk)
        return chunk

    async def __aiter__(self) -> AsyncIterator[ChunkT]:
        try:
            while True:
                try:
                    chunk = await anext(self)
                except StopAsyncIteration:
                    return
                yield chunk
        finally:
            self._end()

    async def close(self) -> None:
        """Close the response; what came until now is the answer."""
        await self._stream.close()
        self._end()

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended:
            ended()
