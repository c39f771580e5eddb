"""Operations on parked events: list them, look into one, try again, give up."""

from memstream.events.errors import NotFound
from memstream.events.log import EventLog
from memstream.events.payloads import EventDroppedData
from memstream.events.reading import Stored
from memstream.events.subjects import OPERATOR, Scope
from memstream.events.types import EventDropped
from memstream.projections.models import ParkedEvent
from memstream.projections.parking import parked_events

from . import operations as o
from .memory import MemoryProcess

_SHOWN_BYTES = 20_000
_FOLLOWS = {"vectors.embedded"}


class Parking:
    """The parked events of one memory process."""

    def __init__(self, log: EventLog, memory: MemoryProcess) -> None:
        self._log = log
        self._memory = memory

    async def operate(
        self, operation: o.ListParkedEvents | o.ShowParked | o.RetryParked | o.DropParked
    ) -> list[ParkedEvent] | o.ParkedContent | o.Unparked:
        """Carry one of the operations out; raises NotFound for a position that is not parked."""
        match operation:
            case o.ListParkedEvents():
                return await self._list(operation.scope)
            case o.ShowParked():
                return await self._show(operation)
            case o.RetryParked():
                return await self._retry(operation)
            case o.DropParked():
                return await self._drop(operation)

    async def _list(self, scope: Scope | None) -> list[ParkedEvent]:
        await self._memory.projector.wait_for((await self._log.state()).last_position)
        with self._memory.projection.use() as at:
            return await at.ledger.reading(parked_events, at.ledger, scope.key if scope else None)

    async def _one(self, scope: Scope | None, position: int) -> ParkedEvent:
        for parked in await self._list(scope):
            if parked.position == position:
                return parked
        raise NotFound(f"no event is parked at position {position}; list them with 'memstream parked list'")

    async def _show(self, operation: o.ShowParked) -> o.ParkedContent:
        parked = await self._one(operation.scope, operation.position)
        stored = await self._stored(operation.position)
        body = stored.body[:_SHOWN_BYTES].decode("utf-8", "replace") if stored else ""
        return o.ParkedContent(parked=parked, subject=stored.subject if stored else "", body=body)

    async def _retry(self, operation: o.RetryParked) -> o.Unparked:
        if operation.position is not None:
            wanted = [await self._one(operation.scope, operation.position)]
        else:
            wanted = await self._list(operation.scope)
        return await self._outcome(
            operation.scope, await self._memory.projector.retry([parked.position for parked in wanted])
        )

    async def _drop(self, operation: o.DropParked) -> o.Unparked:
        parked = await self._one(operation.scope, operation.position)
        owner = Scope.of(parked.tenant, parked.user) if parked.user else OPERATOR
        before = await self._list(None)
        # Vectors of something that never came to be are of no use to anybody.
        vectors = [one.position for one in before if one.waits_for == parked.position and one.type in _FOLLOWS]
        events = [
            EventDropped.of(owner, EventDroppedData(position=position, reason=operation.reason))
            for position in (parked.position, *vectors)
        ]
        dropped = await self._log.append_many(list(events))
        await self._memory.projector.wait_for(dropped[-1].position)
        await self._memory.projector.idle()
        after = {one.position for one in await self._list(None)}
        applied = {one.position for one in before} - after - {parked.position, *vectors}
        return await self._outcome(operation.scope, frozenset(applied))

    async def _outcome(self, scope: Scope | None, applied: frozenset[int]) -> o.Unparked:
        return o.Unparked(applied=tuple(sorted(applied)), still_parked=tuple(await self._list(scope)))

    async def _stored(self, position: int) -> Stored | None:
        async for stored in self._log.read_stored(after=position - 1, until=position):
            return stored
        return None
