"""The front door's core: validates, appends, asks. Python, HTTP and the command line all go through it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, BinaryIO, cast

from memstream import __version__
from memstream.events import payloads as p
from memstream.events.errors import InvalidInput, NotFound, NotServed, ProcessingFailed, Unavailable
from memstream.events.ids import new_id
from memstream.events.log import EventLog
from memstream.events.messages import zoned
from memstream.events.publisher import EventPublisher, Labels, Published
from memstream.events.reading import Stored
from memstream.events.subjects import Scope
from memstream.events.types import EVENT_TYPES, Event, FeedbackGiven, RetrievalServed, VectorsEmbedded
from memstream.projections.models import Item, Resource

from . import reads
from .operations import Operation, Operator, ResultT, Told
from .reads import Ask, Found, Port, Read, ReplyT, Retrieved
from .results import EventView, FeedbackReceipt, Input, Memorized, Status
from .settings import Settings

_PAGE = 200
_LONGEST_WAIT_SECONDS = 3_600
_MAX_FEEDBACK_TEXT = 4_000


class Engine:
    """Commands and questions of one service."""

    def __init__(
        self,
        log: EventLog,
        port: Port,
        operator: Operator,
        settings: Settings,
        media: frozenset[p.Modality] = frozenset(),
    ) -> None:
        self.log = log
        self._port = port
        self._operator = operator
        self._settings = settings
        self._media = media

    async def ask(self, request: Read[ReplyT]) -> ReplyT:
        """Answer a question about memory."""
        return await self._port.ask(request)

    async def operate(self, operation: Operation[ResultT], told: Told) -> ResultT:
        """Carry an operation out; see ``operations``."""
        return await self._operator.operate(operation, told)

    async def memorize(
        self, scope: Scope, content: BinaryIO, given: Input, *, wait: bool = True, timeout: float = 60.0
    ) -> Memorized:
        """Append a resource; with ``wait``, return once it can be retrieved.

        Raises InvalidInput or TooLarge before anything is written, ProcessingFailed when extraction gave up,
        Unavailable after ``timeout`` seconds (the input is safe in the log and will be processed).
        """
        if not 0 < timeout <= _LONGEST_WAIT_SECONDS:
            raise InvalidInput(f"timeout must be over 0 and at most {_LONGEST_WAIT_SECONDS} seconds, got {timeout:g}")
        publisher = EventPublisher(
            self.log, scope.tenant, max_bytes=self._settings.max_resource_bytes, media=self._media
        )
        published = await publisher.publish_resource(
            scope.user,
            content,
            modality=given.modality,
            name=given.name,
            media_type=given.media_type,
            labels=Labels(session=given.session, agent=given.agent, time=_zoned(given.time)),
        )
        outcome = await self._outcome(scope, published, wait=wait, timeout=timeout)
        resource, items = outcome.resource, await self._all_items(scope, outcome)
        touched = {category for item in items for category in item.categories}
        categories = list(outcome.categories)
        if touched - {one.id for one in categories}:
            categories = await self.ask(reads.ListCategories(tenant=scope.tenant, user=scope.user))
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

    async def retrieve(self, scope: Scope, request: Ask, labels: Labels = Labels()) -> Retrieved:
        """Ask memory and record what it answered; see ``reads.Retrieved``."""
        found = await self.ask(request)
        retrieval_id = new_id()
        await self.log.append_many(_served_events(scope, request, found, retrieval_id, labels))
        return Retrieved(
            retrieval_id=retrieval_id,
            needs_retrieval=found.needs_retrieval,
            original_query=request.query,
            rewritten_query=found.rewritten_query,
            next_step_query=found.next_step_query,
            categories=found.recalled.categories,
            items=found.recalled.items,
            resources=found.recalled.resources,
            context=found.context,
            sufficient_at=found.recalled.sufficient_at,
            confidence=found.recalled.confidence,
            as_of=found.recalled.as_of,
            unread=dict(found.recalled.unread),
            usage=found.usage,
        )

    async def feedback(self, scope: Scope, given: p.FeedbackGivenData) -> FeedbackReceipt:
        """Record how a retrieval's hits fared; raises NotServed for ids that it did not return."""
        if not (given.used or given.helpful or given.wrong or given.missing):
            raise InvalidInput("the feedback says nothing: give used, helpful or wrong ids, or what was missing")
        if given.missing and len(given.missing) > _MAX_FEEDBACK_TEXT:
            raise InvalidInput(f"'missing' has {len(given.missing)} characters, over {_MAX_FEEDBACK_TEXT}")
        served = await self._served(scope, given.retrieval_id)
        if served is None:
            raise NotFound(f"no retrieval {given.retrieval_id!r} was served to this user")
        if foreign := sorted({*given.used, *given.helpful, *given.wrong} - set(served)):
            raise NotServed(
                f"retrieval {given.retrieval_id} did not return {foreign[0]!r}: give ids from its categories, items or resources"
            )
        appended = await self.log.append(FeedbackGiven.of(scope, given))
        return FeedbackReceipt(event_id=appended.id, position=appended.position)

    async def content(self, scope: Scope, resource_id: str, into: BinaryIO) -> Resource:
        """Write a resource's original bytes into a binary file."""
        resource = await self.ask(reads.GetResource(tenant=scope.tenant, user=scope.user, resource_id=resource_id))
        await self.log.resources.get(scope, resource.digest, into)
        return resource

    async def events(
        self, scope: Scope, *, after: int = 0, types: Sequence[str] | None = None, limit: int | None = None
    ) -> AsyncIterator[EventView]:
        """Yield this user's events behind a position, up to the present end."""
        _check_types(types)
        count = 0
        async for stored in self.log.read_stored(after=after, scope=scope, types=types):
            yield _view(stored)
            count += 1
            if limit is not None and count >= limit:
                return

    async def follow(
        self, scope: Scope, *, after: int = 0, types: Sequence[str] | None = None
    ) -> AsyncIterator[EventView]:
        """Yield this user's events behind a position and then live, until closed."""
        _check_types(types)
        async for stored in self.log.follow(after=after, scope=scope, types=types):
            yield _view(stored)

    async def status(self, scope: Scope) -> Status:
        """Return how far log and projection are, and what they hold of this user; nothing of anybody else."""
        state, counts = await asyncio.gather(self.log.state(), self.log.counts(scope))
        try:
            progress = await self.ask(reads.GetProgress(tenant=scope.tenant))
            parked = (await self.ask(reads.GetCounts(tenant=scope.tenant, user=scope.user))).parked
        except Unavailable as error:
            progress, parked = reads.Progress(position=0, parked=0, failure=str(error)), 0
        return Status(
            version=__version__,
            log_position=state.last_position,
            projection_position=progress.position,
            lag=max(0, state.last_position - progress.position),
            messages=sum(counts.values()),
            events=counts,
            parked=parked,
            failure=progress.failure,
        )

    async def _outcome(self, scope: Scope, published: Published, *, wait: bool, timeout: float) -> reads.Outcome:
        outcome = await self.ask(
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
            page = await self.ask(
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

    async def _served(self, scope: Scope, retrieval_id: str) -> list[str] | None:
        asked = reads.GetServed(tenant=scope.tenant, user=scope.user, retrieval_id=retrieval_id)
        served = await self.ask(asked)
        if served is None:
            # It may have been served a moment ago: look again behind the log's present end.
            end = (await self.log.state()).last_position
            served = await self.ask(asked.model_copy(update={"after_position": end}))
        return served


def _served_events(scope: Scope, request: Ask, found: Found, retrieval_id: str, labels: Labels) -> list[Event]:
    recalled = found.recalled
    tiers: list[tuple[p.Layer, Sequence[Any]]] = [
        ("category", recalled.categories),
        ("item", recalled.items),
        ("resource", recalled.resources),
    ]
    served = RetrievalServed.of(
        scope,
        p.RetrievalServedData(
            retrieval_id=retrieval_id,
            method=request.method,
            original_query=request.query,
            rewritten_query=found.rewritten_query,
            needs_retrieval=found.needs_retrieval,
            top_k=request.top_k,
            tiers=tuple(
                p.ServedTier(layer=layer, hits=tuple(p.ServedHit(id=hit.id, score=hit.score) for hit in hits))
                for layer, hits in tiers
            ),
            sufficient_at=recalled.sufficient_at,
            as_of=recalled.as_of,
            latency_ms=round(1_000 * found.usage.seconds, 3),
            usage=found.usage,
        ),
        session=labels.session,
        agent=labels.agent,
    )
    if found.vector is None or found.space is None:
        return [served]
    embedded = VectorsEmbedded.of(
        scope,
        p.VectorsEmbeddedData(
            space=p.Space(model=found.space, dimension=found.dimension),
            vectors=(p.Embedded(layer="query", id=retrieval_id, vector=found.vector),),
        ),
        cause=served,
    )
    return [served, embedded]


def _view(stored: Stored) -> EventView:
    """Show a stored message; one that is no event of ours is shown as it is, not hidden."""
    document: dict[str, Any] = {}
    with suppress(ValueError, RecursionError):
        loaded: Any = json.loads(stored.body)
        document = loaded if isinstance(loaded, dict) else {}
    event: Event | None = None
    with suppress(InvalidInput):
        event = stored.decode()
    data: Any = document.get("data")
    shown: dict[str, Any] = {"unreadable": stored.body[:200].decode("utf-8", "replace")}
    if isinstance(data, dict):
        shown = dict(cast("dict[str, Any]", data))
    if isinstance(vectors := shown.get("vectors"), list):
        shown["vectors"] = [{key: value for key, value in one.items() if key != "vector"} for one in vectors]
    return EventView(
        position=stored.position,
        id=str(document.get("id", "")),
        type=str(document.get("type", stored.subject.split(".", 3)[-1])),
        version=version if isinstance(version := document.get("version"), int) else 0,
        time=stored.recorded if event is None else event.time,
        recorded=stored.recorded,
        agent=event.agent if event else None,
        session=event.session if event else None,
        causation=event.causation if event else None,
        correlation=event.correlation if event else None,
        actor=event.actor if event else "unknown",
        data=shown,
    )


def _check_types(types: Sequence[str] | None) -> None:
    for name in types or ():
        if name not in EVENT_TYPES:
            raise InvalidInput(f"unknown event type {name!r}; known are {', '.join(EVENT_TYPES)}")


def _zoned(moment: datetime | None) -> datetime | None:
    try:
        return None if moment is None else zoned(moment)
    except ValueError as error:
        raise InvalidInput(f"time: {error}") from error
