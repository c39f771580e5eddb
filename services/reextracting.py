"""Going over history with another extractor: new events, which supersede what the old one had stated.

A resource at a time, and only those that this extractor has not gone over, so that an interrupted run goes on. An old
statement ends when every resource that says it was gone over and none of them states it any more.
"""

import time
from collections.abc import AsyncIterator, Sequence

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.errors import InvalidInput
from memstream.events.ids import derived_id
from memstream.events.log import EventLog
from memstream.events.subjects import Scope
from memstream.events.types import Event
from memstream.projections.ledger import Ledger
from memstream.projections.words import count_tokens

from . import operations as o
from .extraction import ResourceExtraction
from .local.extractor import RuleExtractor
from .memory import MemoryProcess
from .operations import Progress, Told
from .protocols import Embedder, Estimates, Extractor
from .thinking import Thinking

# A resource that is still being processed for the first time is not gone over again.
_KNOWN = {"rules": False, "sentences": True}
_MODEL = "model"


class Reextracting:
    """Re-extraction over one memory process."""

    def __init__(self, log: EventLog, memory: MemoryProcess, embedder: Embedder, thinking: Thinking) -> None:
        self._log = log
        self._memory = memory
        self._embedder = embedder
        self._thinking = thinking

    async def operate(self, operation: o.Reextract, told: Told) -> o.Reextracted:
        """Go over the resources of one user, or of everybody; with ``dry_run`` only count what would change."""
        extractor = self._named(operation)
        work = ResourceExtraction(self._log, self._memory, extractor, self._thinking.media)
        end = (await self._log.state()).last_position
        await self._memory.projector.wait_for(end)
        counts: dict[str, int] = dict.fromkeys(
            ("resources", "already_done", "items_new", "items_kept", "items_superseded", "tokens"), 0
        )
        started = time.perf_counter()
        async for event in self._resources(operation.scope, end):
            run = await self._next_run(event, extractor)
            if run is None:
                counts["already_done"] += 1
                continue
            await self._one(work, event, extractor, run, counts, dry_run=operation.dry_run)
            told(
                Progress(
                    phase="extracting again",
                    done=event.position,
                    total=end,
                    events=counts["resources"],
                    items=counts["items_new"] + counts["items_kept"],
                    seconds=round(time.perf_counter() - started, 3),
                )
            )
        estimated = operation.dry_run and isinstance(extractor, Estimates)
        return o.Reextracted(extractor=extractor.name, dry_run=operation.dry_run, estimated=estimated, **counts)

    def _named(self, operation: o.Reextract) -> Extractor:
        if operation.prompt_version is not None or operation.extractor == _MODEL:
            return self._thinking.prompted(self._memory, self._embedder, operation.prompt_version)
        if operation.extractor not in _KNOWN:
            known = ", ".join(sorted([*_KNOWN, _MODEL]))
            raise InvalidInput(f"unknown extractor {operation.extractor!r}; known are {known}")
        return RuleExtractor(self._embedder, per_sentence=_KNOWN[operation.extractor])

    async def _resources(self, scope: Scope | None, until: int) -> AsyncIterator[t.ResourceIngested]:
        async for event in self._log.read(until=until, scope=scope, types=["resource.ingested"]):
            assert isinstance(event, t.ResourceIngested)
            yield event

    async def _next_run(self, event: t.ResourceIngested, extractor: Extractor) -> int | None:
        """Return the number of the extraction to make; None when this extractor's is the latest, or none was yet.

        One that was cut off in the middle is made again under its own number, which adds what is missing.
        """
        ledger = self._memory.ledger
        rows = await ledger.reading(
            ledger.rows,
            "SELECT run, any_value(author), count(*) >= max(parts) FROM parts "
            "WHERE scope = ? AND resource_id = ? AND stage = 'extracted' GROUP BY run ORDER BY run DESC LIMIT 1",
            [event.scope.key, event.data.resource_id],
        )
        if not rows:
            return None
        run, author, complete = rows[0]
        if author == extractor.name:
            return None if complete else int(run)
        return int(run) + 1

    async def _one(
        self,
        work: ResourceExtraction,
        event: t.ResourceIngested,
        extractor: Extractor,
        run: int,
        counts: dict[str, int],
        *,
        dry_run: bool,
    ) -> None:
        if dry_run and isinstance(extractor, Estimates):
            # What a model would say is not known before it is paid; what it would read is.
            counts["resources"] += 1
            counts["tokens"] += await work.estimate(event, extractor, as_of=event.position)
            return
        proposed = await work.propose(event, run=run, as_of=event.position)
        items = [item for one in proposed if isinstance(one, t.ItemsExtracted) for item in one.data.items]
        ledger = self._memory.ledger
        resource = event.data.resource_id
        known = await ledger.reading(_live_items, ledger, event.scope.key, resource)
        ended = await ledger.reading(
            _unsupported, ledger, event.scope.key, resource, extractor.name, {item.id for item in items}
        )
        counts["resources"] += 1
        counts["items_new"] += len({item.id for item in items} - known)
        counts["items_kept"] += len({item.id for item in items} & known)
        counts["items_superseded"] += len(ended)
        counts["tokens"] += sum(count_tokens(item.text) for item in items)
        if dry_run:
            return
        superseding = [_superseded(event, run, item, segment, items) for item, segment in ended]
        done = await self._log.append_many([*proposed, *superseding], split=True)
        await self._memory.projector.wait_for(done[-1].position)


def _live_items(ledger: Ledger, scope: str, resource_id: str) -> set[str]:
    rows = ledger.rows(
        "SELECT DISTINCT s.item_id FROM sources s JOIN items i ON i.scope = s.scope AND i.id = s.item_id "
        "WHERE s.scope = ? AND s.resource_id = ? AND i.ended IS NULL",
        [scope, resource_id],
    )
    return {row[0] for row in rows}


def _unsupported(
    ledger: Ledger, scope: str, resource_id: str, extractor: str, stated: set[str]
) -> list[tuple[str, tuple[str, int]]]:
    """Return the live items of a resource that nothing states any more, each with its segment and place there.

    Another resource still states an item until the extractor has gone over that one, too.
    """
    rows = ledger.rows(
        """
        WITH latest AS (
            SELECT resource_id, arg_max(author, made) AS author FROM parts
            WHERE scope = $scope AND stage = 'extracted' GROUP BY resource_id
        )
        SELECT s.item_id, arg_min(s.segment_id, s.made), arg_min(s.span_start, s.made) FROM sources s
        JOIN items i ON i.scope = s.scope AND i.id = s.item_id AND i.ended IS NULL
        JOIN latest l ON l.resource_id = s.resource_id
        WHERE s.scope = $scope AND s.item_id IN (
            SELECT item_id FROM sources WHERE scope = $scope AND resource_id = $resource
        )
        GROUP BY s.item_id HAVING bool_and(s.resource_id = $resource OR l.author = $extractor)
        """,
        {"scope": scope, "resource": resource_id, "extractor": extractor},
    )
    return [(item, (segment, start)) for item, segment, start in rows if item not in stated]


def _superseded(
    event: t.ResourceIngested, run: int, item: str, place: tuple[str, int], items: Sequence[p.ExtractedItem]
) -> Event:
    """End an item in favour of what is stated in its place now; where nothing is, it is forgotten."""
    heirs = [one for one in items if any((source.segment_id, source.span.start) == place for source in one.sources)]
    reason = "extracted again"
    identifier = derived_id(event.id, "reextracted", run, item)
    if heirs:
        superseded = p.ItemSupersededData(item_id=item, by=heirs[0].id, reason=reason)
        return t.ItemSuperseded.of(event.scope, superseded, id=identifier, cause=event)
    return t.ItemForgotten.of(event.scope, p.ItemForgottenData(item_id=item, reason=reason), id=identifier, cause=event)
