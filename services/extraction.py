"""Extraction: one resource in, its description and its statements out, as events.

Every step's events have ids derived from the resource's, so a repeated attempt appends nothing twice.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import TypeVar

from memstream.events import payloads as p
from memstream.events.errors import InvalidInput, NotFound
from memstream.events.ids import derived_id
from memstream.events.log import EventLog
from memstream.events.payloads import Frozen
from memstream.events.types import (
    CategoryCreated,
    Event,
    ExtractionFailed,
    ItemReinforced,
    ItemsExtracted,
    ItemSuperseded,
    ResourceDescribed,
    ResourceIngested,
)

from .describer import Describer
from .describing import Description
from .local.echo import served_statements
from .models.failures import NotDescribed
from .protocols import Distilled, Estimates, Extraction, Extractor, Material, MediaReader
from .reads import GetKnown, GetResource, Port
from .spending import usage_of

logger = logging.getLogger("memstream.extraction")

MAX_ATTEMPTS = 4
# Well below the server's 1 MiB, with room for headers and JSON escapes.
_PART_BYTES = 400_000
# The events that change what an extractor must know of a user.
_INFORMING = ("retrieval.served", "category.created", "categories.merged", "category.split", "evolution.reverted")
PartT = TypeVar("PartT", bound=Frozen)


class ResourceExtraction:
    """Turns ingested resources into described and extracted ones."""

    def __init__(self, log: EventLog, port: Port, extractor: Extractor, media: MediaReader | None = None) -> None:
        self._log = log
        self._describer = Describer(log, media)
        self._port = port
        self._extractor = extractor

    async def propose(self, event: ResourceIngested, *, run: int, as_of: int) -> list[Event]:
        """Return what this extractor makes of a resource that has been extracted before; nothing is appended.

        ``run`` numbers the extractions of the resource, the first one is 0. ``as_of`` is the moment whose recall it
        knows: what was said before it was recalled is no echo.
        """
        described = await self._describer.describe(event)
        extraction = await self._extractor.extract(await self._material(event, described, as_of))
        return self._extracted_events(event, extraction, run)

    async def estimate(self, event: ResourceIngested, extractor: Estimates, *, as_of: int) -> int:
        """Return about how many tokens an extractor would read of a resource."""
        return extractor.estimate(await self._material(event, await self._describer.describe(event), as_of))

    async def process(self, event: ResourceIngested) -> None:
        """Describe and extract one resource, unless that is done; raises InvalidInput for what no attempt can read."""
        if await self._extracted(event):
            return
        described = await self._describer.describe(event)
        # What is known takes as long to ask for as the description takes to be on disk.
        material, _ = await asyncio.gather(
            self._material(event, described), self._log.append_many(_described_events(event, described), split=True)
        )
        extraction = await self._extractor.extract(material)
        await self._log.append_many(self._extracted_events(event, extraction), split=True)

    async def fail(self, event: ResourceIngested, error: Exception, attempt: int) -> bool:
        """Record a failed attempt; returns whether it was the last one."""
        last = isinstance(error, InvalidInput) or attempt >= MAX_ATTEMPTS
        data = p.ExtractionFailedData(
            resource_id=event.data.resource_id,
            stage="describe" if isinstance(error, InvalidInput) else "extract",
            reason=f"{error}" if isinstance(error, InvalidInput) else f"{type(error).__name__}: {error}",
            attempt=attempt,
            parked=last,
            usage=usage_of([error.usage], error.usage.seconds) if isinstance(error, NotDescribed) else p.Usage(),
        )
        failed = ExtractionFailed.of(
            event.scope, data, id=derived_id(event.id, "extraction.failed", attempt), cause=event
        )
        await self._log.append(failed)
        return last

    async def _extracted(self, event: ResourceIngested) -> bool:
        """Tell whether memory has this resource's extraction: after an import, or from a worker that died behind it.

        A model asked again says something else, which would be compared with what came to be known since.
        """
        last = await self._log.last_position(event.scope, ("items.extracted",))
        if last < event.position:
            return False
        asked = GetResource(
            tenant=event.tenant, user=event.user, resource_id=event.data.resource_id, after_position=last
        )
        try:
            found = await self._port.ask(asked)
        except NotFound:
            # It is parked, or forgotten.
            return False
        return found.status in ("extracted", "ready")

    async def _material(self, event: ResourceIngested, described: Description, as_of: int | None = None) -> Material:
        # What recall returned before this resource came must be known, or its echo would become a fact; to wait
        # for the resource itself would cost a commit.
        last = await self._log.last_position(event.scope, _INFORMING)
        known = await self._port.ask(GetKnown(tenant=event.tenant, user=event.user, after_position=last))
        if as_of is not None:
            then = await self._port.ask(GetKnown(tenant=event.tenant, user=event.user, as_of=as_of))
            known = known.model_copy(update={"served": then.served})
        return Material(
            scope=event.scope,
            resource_id=event.data.resource_id,
            modality=event.data.modality,
            name=described.title,
            passages=described.passages,
            categories=known.categories,
            served=served_statements(known.served),
        )

    def _extracted_events(self, event: ResourceIngested, extraction: Extraction, run: int = 0) -> list[Event]:
        created: list[Event] = [
            CategoryCreated.of(
                event.scope,
                category,
                id=derived_id(event.scope.key, "category.created", category.name),
                cause=event,
            )
            for category in extraction.new_categories
        ]
        return [*created, *self._statements(event, extraction, run), *_consequences(event, extraction.distilled, run)]

    def _statements(self, event: ResourceIngested, extraction: Extraction, run: int) -> list[Event]:
        """Return the events that hold the statements: first those of the rules, then those of a model."""
        own = p.ItemsExtractedData(
            resource_id=event.data.resource_id,
            run=run,
            skipped=tuple(extraction.skipped),
            extractor=self._extractor.name,
            usage=extraction.usage,
        )
        held = [(own, extraction.items)]
        if (distilled := extraction.distilled) is not None:
            told: dict[str, object] = {"extractor": distilled.author, "prompt_version": distilled.prompt_version}
            told |= {"skipped": (), "rejected": tuple(distilled.rejected), "usage": distilled.usage}
            held.append((own.model_copy(update=told), distilled.items))
        parts = [
            (data if first else data.model_copy(update={"skipped": (), "rejected": (), "usage": p.Usage()}), items)
            for data, statements in held
            for first, items in _marked(list(_in_parts(statements)) or [[]])
        ]
        return [
            ItemsExtracted.of(
                event.scope,
                data.model_copy(update={"part": number, "parts": len(parts), "items": tuple(items)}),
                id=derived_id(event.id, "items.extracted", *([run] if run else []), number),
                cause=event,
            )
            for number, (data, items) in enumerate(parts)
        ]


def _marked(parts: Sequence[list[PartT]]) -> Iterator[tuple[bool, list[PartT]]]:
    """Yield each part, and whether it is the first."""
    for number, part in enumerate(parts):
        yield number == 0, part


def _consequences(event: ResourceIngested, distilled: Distilled | None, run: int) -> list[Event]:
    """Return what a model's statements mean for those that were known, and what it would not say."""
    if distilled is None:
        return []
    found: list[Event] = [
        ItemReinforced.of(event.scope, data, id=derived_id(event.id, "item.reinforced", run, number), cause=event)
        for number, data in enumerate(distilled.reinforced)
    ]
    found += [
        ItemSuperseded.of(event.scope, data, id=derived_id(event.id, "item.superseded", run, number), cause=event)
        for number, data in enumerate(distilled.superseded)
    ]
    if distilled.failures:
        failed = p.ExtractionFailedData(
            resource_id=event.data.resource_id,
            stage="extract",
            reason="; ".join(distilled.failures)[:4_000],
            attempt=1,
            parked=True,
        )
        found.append(
            ExtractionFailed.of(event.scope, failed, id=derived_id(event.id, "extraction.failed", run, 0), cause=event)
        )
    return found


def _described_events(event: ResourceIngested, described: Description) -> list[Event]:
    parts = list(_in_parts(described.segments)) or [[]]
    return [
        ResourceDescribed.of(
            event.scope,
            p.ResourceDescribedData(
                resource_id=event.data.resource_id,
                part=number,
                parts=len(parts),
                segments=tuple(segments),
                describer=described.describer,
                usage=described.usage if number == 0 else None,
            ),
            id=derived_id(event.id, "resource.described", number),
            cause=event,
        )
        for number, segments in enumerate(parts)
    ]


def _in_parts(values: Sequence[PartT]) -> Iterator[list[PartT]]:
    """Yield runs of values whose JSON fits into one event."""
    run: list[PartT] = []
    size = 0
    for value in values:
        length = len(value.model_dump_json())
        if run and size + length > _PART_BYTES:
            yield run
            run, size = [], 0
        run.append(value)
        size += length
    if run:
        yield run
