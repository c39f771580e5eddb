"""The event feed: a page of the log, or server-sent events from a position."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from sse_starlette import EventSourceResponse, ServerSentEvent

from memstream.events.errors import InvalidInput
from memstream.events.subjects import Scope
from memstream.services.engine import Engine
from memstream.services.results import EventView, Status

Types = Annotated[list[str] | None, Query(description="Only these event types")]


def feed_routes(engine: Engine) -> APIRouter:
    """Return the routes of the log."""
    router = APIRouter(prefix="/v1", tags=["events"])

    @router.get("/events", summary="A user's events behind a position")
    async def events(
        user: str,
        tenant: str = "default",
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=100_000)] = 1_000,
        types: Types = None,
    ) -> list[EventView]:
        scope = Scope.of(tenant, user)
        return [event async for event in engine.events(scope, after=after, types=types or None, limit=limit)]

    @router.get(
        "/events/stream",
        summary="A user's events behind a position, and then live",
        response_class=EventSourceResponse,
    )
    async def stream(
        user: str,
        tenant: str = "default",
        after: Annotated[int, Query(ge=0)] = 0,
        types: Types = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> EventSourceResponse:
        start = max(after, _position(last_event_id))
        return EventSourceResponse(_sent(engine, Scope.of(tenant, user), start, types or None))

    @router.get("/status", summary="The state of the service, and a user's events by type")
    async def status(user: str, tenant: str = "default") -> Status:
        return await engine.status(Scope.of(tenant, user))

    return router


async def _sent(engine: Engine, scope: Scope, after: int, types: list[str] | None) -> AsyncIterator[ServerSentEvent]:
    async for event in engine.follow(scope, after=after, types=types):
        yield ServerSentEvent(data=event.model_dump_json(), event=event.type, id=str(event.position))


def _position(last_event_id: str | None) -> int:
    """Read which event a reconnecting browser saw last."""
    if last_event_id is None:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):  # noqa: PLR2004 - 64 bits
        raise InvalidInput(f"Last-Event-ID {last_event_id!r} is no log position")
    return int(last_event_id)
