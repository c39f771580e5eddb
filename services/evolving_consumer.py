"""Evolution by itself: after so many further pieces of feedback a user's memory evolves, never by a timer alone.

It has no state of its own: how much feedback came since the last trial is asked from the ledger. Of several processes
one evolves at a time; the others look again when it is done, and find that nothing is left to do.
"""

import asyncio
import contextlib
import logging

from memstream.events.errors import MemstreamError, Unavailable
from memstream.events.subjects import Scope
from memstream.events.tasks import end
from memstream.evolution.history import configured
from memstream.projections.ledger import Ledger
from memstream.projections.projector import Commit

from .evolving import Evolution
from .evolving_requests import Evolve
from .memory import MemoryProcess

logger = logging.getLogger("memstream.evolution")

# While another process evolves.
_AGAIN_SECONDS = 5.0


class EvolutionConsumer:
    """Evolves users' memories behind the projector's commits."""

    def __init__(self, evolution: Evolution, memory: MemoryProcess, after: int) -> None:
        self._evolution = evolution
        self._memory = memory
        self._after = after
        # None: everybody, as after a start.
        self._dirty: set[str] | None = None
        # How far each user's feedback has been looked at, also where a run tried nothing.
        self._seen: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; the first round looks at everybody."""
        self._memory.observers.append(self._committed)
        self._changed.set()
        self._task = asyncio.create_task(self._run(), name="evolution")

    async def stop(self) -> None:
        """Stop; a step that is being appended is in the log whole, or not at all."""
        self._memory.observers.remove(self._committed)
        await end(self._task)

    def _committed(self, commit: Commit) -> None:
        if rows := commit.changes.rows.get("feedback"):
            if self._dirty is not None:
                self._dirty |= {str(row[0]) for row in rows}
            self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            scopes, self._dirty = self._dirty, set()
            try:
                await self._evolve(scopes)
            except Exception as error:  # noqa: BLE001 - one consumer for everybody: nothing may end it for good
                if not isinstance(error, Unavailable):
                    logger.warning("evolution waits: %s: %s", type(error).__name__, error)
                self._dirty = None
                # Then it is tried again, whether or not anything changed.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _AGAIN_SECONDS)
                self._changed.set()

    async def _evolve(self, scopes: set[str] | None) -> None:
        with self._memory.projection.use() as at:
            due = await at.ledger.reading(_due, at.ledger, scopes, self._after)
        for scope, count in due:
            if count - self._seen.get(scope, 0) < self._after:
                continue
            try:
                who = Scope.from_key(scope)
                asked = Evolve(tenant=who.tenant, user=who.user, dry_run=False)
                done = await self._evolution.operate(asked, lambda _: None)
                self._seen[scope] = count
                kept = sum(1 for one in done.steps if one.accepted)
                logger.info("memory of %s: %d steps taken, %d rejected", who, kept, len(done.steps) - kept)
            except Unavailable:
                raise
            except MemstreamError as error:
                self._seen[scope] = count
                logger.warning("memory of %s does not evolve: %s", scope, error)


def _due(ledger: Ledger, scopes: set[str] | None, after: int) -> list[tuple[str, int]]:
    """Return the users with enough feedback since their last trial, and how much they gave in all."""
    wanted = None if scopes is None else sorted(scopes)
    rows = ledger.rows(
        "SELECT f.scope, count(*) FILTER (f.made > coalesce(t.last, 0)) AS fresh, count(*) AS given FROM feedback f "
        "LEFT JOIN (SELECT scope, max(made) AS last FROM trials GROUP BY scope) t ON t.scope = f.scope "
        "WHERE $scopes IS NULL OR list_contains($scopes::VARCHAR[], f.scope) GROUP BY f.scope "
        "HAVING fresh >= $after ORDER BY f.scope",
        {"scopes": wanted, "after": after},
    )
    return [(scope, given) for scope, _, given in rows if not configured(ledger, scope)[0]]
