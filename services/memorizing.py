"""Taking input in: into the log, and back to the caller with what memory made of it, or at once."""

from datetime import datetime
from typing import BinaryIO

from memstream.events import payloads as p
from memstream.events.errors import InvalidInput, ProcessingFailed, Unavailable
from memstream.events.log import EventLog
from memstream.events.messages import zoned
from memstream.events.publisher import EventPublisher, Labels, Published
from memstream.events.subjects import Scope
from memstream.projections.models import Item, Resource

from . import reads
from .reads import Port
from .results import Input, Memorized
from .settings import Settings

_PAGE = 200
_LONGEST_WAIT_SECONDS = 3_600


class Memorizing:
    """Appends resources and tells what became of them."""

    def __init__(self, log: EventLog, port: Port, settings: Settings, media: frozenset[p.Modality]) -> None:
        self._log = log
        self._port = port
        self._settings = settings
        self._media = media

    async def memorize(self, scope: Scope, content: BinaryIO, given: Input, *, wait: bool, timeout: float) -> Memorized:
        """Append a resource; see ``Engine.memorize``."""
        if not 0 < timeout <= _LONGEST_WAIT_SECONDS:
            raise InvalidInput(f"timeout must be over 0 and at most {_LONGEST_WAIT_SECONDS} seconds, got {timeout:g}")
        publisher = EventPublisher(
            self._log, scope.tenant, max_bytes=self._settings.max_resource_bytes, media=self._media
        )
        published = await publisher.publish_resource(
            scope.user,
            content,
            modality=given.modality,
            name=given.name,
            media_type=given.media_type,
            labels=Labels(session=given.session, agent=given.agent, time=_zoned(given.time)),
        )
        if not wait and not published.known:
            # Nothing can have been made of what was appended a moment ago; a caller that adds and adds waits for the
            # log alone, not for a commit of the projection each time.
            return _appended(published)
        return await self._made(scope, published, await self._outcome(scope, published, wait=wait, timeout=timeout))

    async def _made(self, scope: Scope, published: Published, outcome: reads.Outcome) -> Memorized:
        resource, items = outcome.resource, await self._all_items(scope, outcome)
        touched = {category for item in items for category in item.categories}
        categories = list(outcome.categories)
        if touched - {one.id for one in categories}:
            categories = await self._port.ask(reads.ListCategories(tenant=scope.tenant, user=scope.user))
        # An event that the projection made nothing of is a repeated one, also after the server's memory of ids.
        duplicate = published.event.duplicate or resource.made != published.event.position
        return Memorized(
            resource=resource,
            items=tuple(items),
            categories=tuple(one for one in categories if one.id in touched),
            events=() if duplicate else (published.event.id,),
            position=published.event.position,
            duplicate=duplicate,
            usage=resource.usage,
        )

    async def _outcome(self, scope: Scope, published: Published, *, wait: bool, timeout: float) -> reads.Outcome:
        outcome = await self._port.ask(
            reads.GetOutcome(
                tenant=scope.tenant,
                user=scope.user,
                resource_id=published.resource_id,
                after_position=0 if wait else published.event.position,
                wait=wait,
                page=_PAGE,
                fresh=not published.event.duplicate,
                timeout=timeout,
            )
        )
        if not wait:
            return outcome
        resource = outcome.resource
        if resource.status == "failed":
            raise ProcessingFailed(
                f"{resource.name!r} is safe as resource {resource.id}, but gave no items: {resource.failure}"
            )
        if resource.status != "ready":
            raise Unavailable(
                f"{resource.name!r} is safe in the log as resource {resource.id} and {resource.status}, but not "
                f"searchable after {timeout:g} s: it will be; are the extraction and embedding services running?"
            )
        return outcome

    async def _all_items(self, scope: Scope, outcome: reads.Outcome) -> list[Item]:
        items, page = list(outcome.items), list(outcome.items)
        while len(page) == _PAGE:
            page = await self._port.ask(
                reads.ListItems(
                    tenant=scope.tenant,
                    user=scope.user,
                    resource_id=outcome.resource.id,
                    limit=_PAGE,
                    offset=len(items),
                )
            )
            items += page
        return items


def _appended(published: Published) -> Memorized:
    """Show a resource as the projection will, before it has read its event."""
    event, data = published.ingested, published.ingested.data
    resource = Resource(
        id=data.resource_id,
        name=data.name,
        modality=data.modality,
        media_type=data.media_type,
        digest=data.digest,
        size=data.size,
        session=event.session,
        agent=event.agent,
        time=event.time,
        status="ingested",
        made=published.event.position,
    )
    return Memorized(
        resource=resource,
        items=(),
        categories=(),
        events=(published.event.id,),
        position=published.event.position,
        duplicate=False,
        usage=resource.usage,
    )


def _zoned(moment: datetime | None) -> datetime | None:
    try:
        return None if moment is None else zoned(moment)
    except ValueError as error:
        raise InvalidInput(f"time: {error}") from error
