"""The front door's core: validates, appends, asks. Python, HTTP and the command line all go through it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, cast

from memstream import __version__
from memstream.events import payloads as p
from memstream.events.errors import InvalidInput, NotFound, NotServed, Unavailable
from memstream.events.ids import new_id
from memstream.events.log import EventLog
from memstream.events.publisher import Labels
from memstream.events.reading import Stored
from memstream.events.subjects import Scope
from memstream.events.types import EVENT_TYPES, Event, FeedbackGiven, RetrievalServed, VectorsEmbedded
from memstream.projections.models import Resource

from . import reads
from .memorizing import Memorizing
from .operations import Operation, Operator, ResultT, Told
from .reads import Ask, Found, Port, Read, ReplyT, Retrieved
from .results import EventView, FeedbackReceipt, Input, Memorized, Status
from .settings import Settings

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
        self._memorizing = Memorizing(log, port, settings, media)

    async def ask(self, request: Read[ReplyT]) -> ReplyT:
        """Answer a question about memory; what is not found is looked for again behind the log's present end."""
        try:
            return await self._port.ask(request)
        except NotFound:
            if request.as_of is not None:
                raise
            # ``memorize`` without waiting returns ids that the projection may not have read yet.
            return await self._ask_behind(request)

    async def _ask_behind(self, request: Read[ReplyT]) -> ReplyT:
        """Ask once everything can be read that the log holds now."""
        end = (await self.log.state()).last_position
        return await self._port.ask(request.model_copy(update={"after_position": end}))

    async def operate(self, operation: Operation[ResultT], told: Told) -> ResultT:
        """Carry an operation out; see ``operations``."""
        return await self._operator.operate(operation, told)

    async def memorize(
        self, scope: Scope, content: BinaryIO, given: Input, *, wait: bool = True, timeout: float = 60.0
    ) -> Memorized:
        """Append a resource; with ``wait``, return once it can be retrieved, else as soon as it is in the log.

        Raises InvalidInput or TooLarge before anything is written, ProcessingFailed when extraction gave up,
        Unavailable after ``timeout`` seconds (the input is safe in the log and will be processed).
        """
        return await self._memorizing.memorize(scope, content, given, wait=wait, timeout=timeout)

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
        if given.missed:
            raise InvalidInput("'missed' is what the service finds: say in 'missing', in words, what was missing")
        if given.missing and len(given.missing) > _MAX_FEEDBACK_TEXT:
            raise InvalidInput(f"'missing' has {len(given.missing)} characters, over {_MAX_FEEDBACK_TEXT}")
        served = await self._served(scope, given.retrieval_id)
        if served is None:
            raise NotFound(f"no retrieval {given.retrieval_id!r} was served to this user")
        if foreign := sorted({*given.used, *given.helpful, *given.wrong} - set(served)):
            raise NotServed(
                f"retrieval {given.retrieval_id} did not return {foreign[0]!r}: give ids from its categories, items or resources"
            )
        missed = await self._missed(scope, given.missing, served) if given.missing else ()
        appended = await self.log.append(FeedbackGiven.of(scope, given.model_copy(update={"missed": missed})))
        return FeedbackReceipt(event_id=appended.id, position=appended.position, missed=missed)

    async def _missed(self, scope: Scope, missing: str, served: Sequence[str]) -> tuple[str, ...]:
        """Return the statements that were not served and that the asker's words speak of."""
        asked = reads.FindMentioned(tenant=scope.tenant, user=scope.user, text=missing)
        try:
            found = await self.ask(asked)
        except Unavailable:
            # What is said counts, also while memory is away.
            return ()
        return tuple(one for one in found if one not in set(served))

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

    async def _served(self, scope: Scope, retrieval_id: str) -> list[str] | None:
        asked = reads.GetServed(tenant=scope.tenant, user=scope.user, retrieval_id=retrieval_id)
        served = await self.ask(asked)
        # It may have been served a moment ago.
        return await self._ask_behind(asked) if served is None else served


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
    # Neither is an error here: the raw bytes are shown for what cannot be read.
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
