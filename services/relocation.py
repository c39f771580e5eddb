"""Appending another log's events: the same ids, at new positions, with the positions that they speak of translated."""

from bisect import bisect_right

from memstream.events import types as t
from memstream.events.log import EventLog
from memstream.events.types import Event

_BATCH = 1_000


class Relocation:
    """Takes events in the order of their log; ``added`` counts those that were new here."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiting: list[tuple[int, Event]] = []
        self._old: list[int] = []
        self._new: list[int] = []
        self.added = 0
        self.position = 0

    async def add(self, position: int, event: Event) -> None:
        """Take an event that had a position in the other log."""
        spoken = _spoken_of(event)
        if spoken is not None and self._waiting and spoken >= self._waiting[0][0]:
            # It speaks of one that has no position here yet.
            await self.flush()
        self._waiting.append((position, self._translated(event, spoken)))
        if len(self._waiting) == _BATCH:
            await self.flush()

    async def flush(self) -> None:
        """Append what waits."""
        if not self._waiting:
            return
        done = await self._log.append_many([event for _, event in self._waiting])
        for (old, _), appended in zip(self._waiting, done, strict=True):
            self._old.append(old)
            self._new.append(appended.position)
            self.added += not appended.duplicate
            self.position = max(self.position, appended.position)
        self._waiting = []

    def _translated(self, event: Event, spoken: int | None) -> Event:
        if spoken is None:
            return event
        place = bisect_right(self._old, spoken)
        here = self._new[place - 1] if place else 0
        name = "covers" if isinstance(event, t.CategorySummarized) else "as_of"
        return event.model_copy(update={"data": event.data.model_copy(update={name: here})})


def _spoken_of(event: Event) -> int | None:
    """Return the position of its own log that an event speaks of."""
    match event:
        case t.CategorySummarized():
            return event.data.covers
        case t.RetrievalServed():
            return event.data.as_of
        case _:
            return None
