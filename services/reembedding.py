"""Re-embedding: a new space is filled beside the old one, then questions are asked in it.

What is new from now on is embedded in both spaces by the embedding service; history is filled in here, a text once:
an interrupted run finds in the log what it has done. Retrieval answers from the old space until the switch.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.errors import InvalidInput, Unavailable
from memstream.events.log import EventLog
from memstream.events.payloads import Space
from memstream.events.subjects import OPERATOR
from memstream.events.types import Event

from . import operations as o
from .embedders import EmbedderChoice
from .embedding import EMBEDDED_TYPES, FactEmbedding, has_texts
from .memory import MemoryProcess
from .operations import Progress, Told
from .protocols import Embedder

_TAIL_SECONDS = 120.0
_POLL_SECONDS = 0.1
_TOMBSTONE_POSITIONS = 20_000


class Reembedding:
    """Re-embedding over one memory process."""

    def __init__(self, log: EventLog, memory: MemoryProcess, choice: EmbedderChoice) -> None:
        self._log = log
        self._memory = memory
        self._choice = choice

    async def operate(self, operation: o.Reembed, told: Told) -> o.Reembedded:
        """Fill the space of an embedder, switch to it, and drop the old one if asked to."""
        target, old = self._choice.named(operation.model), self._choice.space
        if target.space == old:
            raise InvalidInput(f"{operation.model!r} is what memory is embedded with already")
        prepared = await self._prepare(operation.model, target.space)
        embedded = await self._fill(target, prepared, told)
        await self._tail(target.space, prepared)
        data = p.SpaceActivatedData(space=target.space, embedder=operation.model)
        activated = await self._log.append(t.SpaceActivated.of(OPERATOR, data))
        await self._memory.projector.wait_for(activated.position)
        await self._choice.until_active(target.space, _TAIL_SECONDS)
        dropped = await self._drop(old) if operation.drop_old else 0
        return o.Reembedded(
            model=operation.model,
            space=f"{target.space.model}@{target.space.dimension}",
            events_embedded=embedded,
            old_events_dropped=dropped,
            position=activated.position,
        )

    async def _prepare(self, name: str, space: Space) -> int:
        """Announce the space, once; return the position from which the embedding service fills it by itself."""
        async for event in self._log.read(types=["space.prepared"]):
            if isinstance(event, t.SpacePrepared) and event.data.space == space:
                return event.position
        data = p.SpacePreparedData(space=space, embedder=name)
        return (await self._log.append(t.SpacePrepared.of(OPERATOR, data))).position

    async def _fill(self, target: Embedder, until: int, told: Told) -> int:
        known = await self._embedded(target.space)
        work, done, started = FactEmbedding(self._log, target), 0, time.perf_counter()
        async for event in self._facts(0, until):
            if event.id in known:
                continue
            await work.process(event)
            done += 1
            told(
                Progress(
                    phase="embedding history",
                    done=event.position,
                    total=until,
                    events=done,
                    seconds=round(time.perf_counter() - started, 3),
                )
            )
        return done

    async def _tail(self, space: Space, after: int) -> None:
        """Wait until the embedding service has embedded in the new space what came since it was announced."""
        deadline = time.monotonic() + _TAIL_SECONDS
        while True:
            known = await self._embedded(space)
            end = (await self._log.state()).last_position
            missing = [event.position async for event in self._facts(after, end) if event.id not in known]
            if not missing:
                return
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"position {missing[0]} is not embedded in the new space after {_TAIL_SECONDS:g} s: is the embedding "
                    "service running? Nothing was switched; repeat the command, it goes on"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _drop(self, space: Space) -> int:
        """Erase the old space's vectors from the log, with a tombstone; the projection is built again without them."""
        positions = [event.position async for event in self._vectors(space)]
        target = f"{space.model}@{space.dimension}"
        for start in range(0, len(positions), _TOMBSTONE_POSITIONS):
            chunk = tuple(positions[start : start + _TOMBSTONE_POSITIONS])
            data = p.HistoryErasedData(layer="space", target=target, positions=chunk, reason="the space was dropped")
            await self._log.append(t.HistoryErased.of(OPERATOR, data))
            await self._log.delete(chunk)
        await self._memory.renew()
        return len(positions)

    async def _embedded(self, space: Space) -> set[str]:
        """Return the ids of the events whose texts have vectors in a space."""
        return {event.causation async for event in self._vectors(space) if event.causation is not None}

    async def _vectors(self, space: Space) -> AsyncIterator[t.VectorsEmbedded]:
        async for event in self._log.read(types=["vectors.embedded"]):
            if isinstance(event, t.VectorsEmbedded) and event.data.space == space:
                yield event

    async def _facts(self, after: int, until: int) -> AsyncIterator[Event]:
        async for event in self._log.read(after=after, until=until, types=EMBEDDED_TYPES):
            if has_texts(event):
                yield event
