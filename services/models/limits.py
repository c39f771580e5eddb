"""Ceilings of spending: so many tokens a day, for one user and for everybody, counted from the log's own events.

A ceiling is met to within what is in work when it is reached: calls are counted when their event is in the log.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from memstream.events.errors import MemstreamError
from memstream.events.log import EventLog
from memstream.events.reading import subscription
from memstream.events.subjects import ROOT, Scope
from memstream.events.tasks import end
from memstream.events.types import (
    CategorySummarized,
    Event,
    ExtractionFailed,
    ItemsExtracted,
    ResourceDescribed,
    RetrievalServed,
)

from .failures import LimitReached

COSTING_TYPES = (
    "resource.described",
    "items.extracted",
    "extraction.failed",
    "category.summarized",
    "retrieval.served",
)


def _today() -> date:
    return datetime.now(UTC).date()


class SpendingLimits(Protocol):
    """Whoever may say no before a call."""

    def check(self, scope: Scope) -> None:
        """Return when a call may be made for a user; raise LimitReached otherwise."""
        ...

    async def stop(self) -> None:
        """Stop counting."""
        ...


class NoLimits:
    """Nobody counts."""

    def check(self, scope: Scope) -> None:
        """Return."""

    async def stop(self) -> None:
        """Return."""


class DailyLimits:
    """Tokens of this day (UTC), in and out: ``per_user`` for each user, ``total`` for all; None is no ceiling."""

    def __init__(self, *, per_user: int | None, total: int | None, today: Callable[[], date] = _today) -> None:
        self._today = today
        self._per_user = per_user
        self._total = total
        self._day = today()
        self._spent: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    async def start(self, log: EventLog) -> None:
        """Count what the log holds of today, and go on counting."""
        counted = asyncio.Event()
        self._task = asyncio.create_task(self._follow(log, counted), name="spending")
        await asyncio.wait({self._task, asyncio.create_task(counted.wait())}, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Stop counting."""
        await end(self._task)

    def count(self, event: Event) -> None:
        """Count what one event cost."""
        recorded = event.recorded or event.time
        if recorded.astimezone(UTC).date() != self._turned():
            return
        tokens = tokens_of(event)
        self._spent[event.scope.key] += tokens
        self._spent[""] += tokens

    def check(self, scope: Scope) -> None:
        """Return when a call may be made for a user; raise LimitReached otherwise."""
        day = self._turned()
        again = f"work goes on at {day + timedelta(days=1)} 00:00 UTC, or with a higher ceiling"
        if self._per_user is not None and self._spent[scope.key] >= self._per_user:
            raise LimitReached(
                f"user {scope.user!r} has used {self._spent[scope.key]} of {self._per_user} tokens today; {again} "
                "(MEMSTREAM_MAX_TOKENS_PER_USER_PER_DAY)"
            )
        if self._total is not None and self._spent[""] >= self._total:
            raise LimitReached(
                f"{self._spent['']} of {self._total} tokens are used today; {again} (MEMSTREAM_MAX_TOKENS_PER_DAY)"
            )

    def _turned(self) -> date:
        if (day := self._today()) != self._day:
            self._day, self._spent = day, Counter()
        return self._day

    async def _follow(self, log: EventLog, counted: asyncio.Event) -> None:
        since = datetime.combine(self._today(), datetime.min.time(), UTC)
        subjects = [f"{ROOT}.*.*.{name}" for name in COSTING_TYPES]
        async with subscription(log.nc, since=since, subjects=subjects) as (queue, waiting):
            if not waiting:
                counted.set()
            while True:
                stored = await queue.get()
                # An event that cannot be read says nothing of tokens; the projection parks it.
                with contextlib.suppress(MemstreamError):
                    self.count(stored.decode())
                if stored.pending == 0:
                    counted.set()


def tokens_of(event: Event) -> int:
    """Return the tokens of language models that an event accounts for, in and out."""
    match event:
        case ItemsExtracted() | CategorySummarized() | RetrievalServed() | ExtractionFailed():
            return event.data.usage.tokens_in + event.data.usage.tokens_out
        case ResourceDescribed():
            return event.data.usage.tokens_in + event.data.usage.tokens_out if event.data.usage else 0
        case _:
            return 0
