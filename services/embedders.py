"""Which embedder is in use: the one that the log says, for every process alike, switched while they run."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from memstream.events.errors import InvalidInput
from memstream.events.log import EventLog
from memstream.events.payloads import Space
from memstream.events.types import Event, SpaceActivated, SpacePrepared

from .local.embedder import WordLlamaEmbedder
from .protocols import Embedder, Matrix

DEFAULT = "wordllama"
_KNOWN: dict[str, Callable[[], Embedder]] = {
    "wordllama": WordLlamaEmbedder,
    "wordllama-128": partial(WordLlamaEmbedder, 128),
    "wordllama-64": partial(WordLlamaEmbedder, 64),
}
SPACE_TYPES = ("space.prepared", "space.activated")


def embedder_named(name: str) -> Embedder:
    """Return an embedder by its name; raise InvalidInput for an unknown one."""
    if name not in _KNOWN:
        raise InvalidInput(f"unknown embedding model {name!r}; known are {', '.join(sorted(_KNOWN))}")
    return _KNOWN[name]()


class Filled(NamedTuple):
    """A space that is being filled: by which embedder, and from behind which position (None: from the beginning)."""

    embedder: Embedder
    after: int | None

    @property
    def queue(self) -> str:
        """The name of the work queue; a space that is announced again gets a new one, which begins there."""
        space = self.embedder.space
        name = f"embedding-{space.model}-{space.dimension}" + ("" if self.after is None else f"-{self.after}")
        return name.replace(".", "_")


class EmbedderChoice:
    """An embedder that is always the active one; ``filled`` are all spaces that facts are embedded in."""

    def __init__(self, first: Embedder, others: Mapping[str, Embedder] | None = None) -> None:
        self.current = first
        self._first = first
        self._others = dict(others or {})
        self._filled: dict[tuple[str, int], Filled] = {_key(first.space): Filled(first, None)}
        self._switched = asyncio.Condition()

    @property
    def space(self) -> Space:
        """The active space."""
        return self.current.space

    @property
    def filled(self) -> list[Filled]:
        """The active space, and those that are announced."""
        return list(self._filled.values())

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """Embed in the active space."""
        return await self.current.embed(texts)

    async def read(self, log: EventLog) -> int:
        """Apply what the log says so far; return the position up to which."""
        end = (await log.state()).last_position
        async for event in log.read(until=end, types=SPACE_TYPES):
            await self.apply(event)
        return end

    async def apply(self, event: Event) -> None:
        """Apply an event about spaces."""
        match event:
            case SpacePrepared():
                embedder = self._embedder(event.data.space, event.data.embedder)
                self._filled[_key(event.data.space)] = Filled(embedder, event.position)
            case SpaceActivated():
                embedder = self._embedder(event.data.space, event.data.embedder)
                filled = self._filled.get(_key(event.data.space), Filled(embedder, None))
                self._filled = {_key(event.data.space): filled}
                async with self._switched:
                    self.current = embedder
                    self._switched.notify_all()
            case _:
                pass

    async def until_active(self, space: Space, timeout: float) -> None:
        """Return once a space is the active one; raise TimeoutError."""
        async with asyncio.timeout(timeout), self._switched:
            await self._switched.wait_for(lambda: self.space == space)

    def named(self, name: str) -> Embedder:
        """Return an embedder by its name: a configured endpoint's, or a local one; raise InvalidInput."""
        if name in self._others:
            return self._others[name]
        if name.startswith("endpoint:"):
            raise InvalidInput(
                f"memory is, or is to be, embedded with {name!r}, which is not configured: "
                f"set MEMSTREAM_EMBEDDING_MODEL={name.partition(':')[2]}, or name it in the models file"
            )
        return embedder_named(name)

    def _embedder(self, space: Space, name: str) -> Embedder:
        # The first one keeps its object: it may be one that no name stands for.
        if space == self._first.space:
            return self._first
        known = self._filled.get(_key(space))
        return known.embedder if known is not None else self.named(name)


def _key(space: Space) -> tuple[str, int]:
    return space.model, space.dimension
