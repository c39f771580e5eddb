"""A memory behind HTTP: the same interface as the engine's, against the gateway."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self, cast
from urllib.parse import quote

import httpx

from memstream.events.errors import InvalidInput, MemstreamError, Unavailable
from memstream.events.payloads import FeedbackGivenData
from memstream.events.publisher import Labels
from memstream.events.subjects import Scope
from memstream.projections.models import Resource

from .faults import Fault
from .operations import Operation, ResultT, Told
from .reads import Ask, GetOutcome, GetResource, Read, ReplyT, Retrieved, Settle
from .results import EventView, FeedbackReceipt, Input, Memorized, Status
from .streaming import outcome

# The gateway answers waiting questions later than this client would give up by default.
_GRACE_SECONDS = 10.0


class HttpBackend:
    """Talks to one gateway; an async context manager."""

    def __init__(self, url: str, *, timeout: float = 120.0) -> None:
        self._url = url.rstrip("/")
        try:
            self._client = httpx.AsyncClient(base_url=self._url, timeout=httpx.Timeout(timeout, connect=5.0))
        except (httpx.InvalidURL, ValueError) as error:
            raise InvalidInput(f"{url!r} is no URL: {error}") from error

    async def check(self) -> None:
        """Raise Unavailable when no memstream gateway answers."""
        await self._request("GET", "/health/live")

    async def ask(self, request: Read[ReplyT]) -> ReplyT:
        """Answer a question about memory."""
        kind = type(request)
        if kind.path is None:
            patience = request.timeout + _GRACE_SECONDS if isinstance(request, GetOutcome | Settle) else None
            reply = await self._request(
                "POST", f"/v1/ask/{kind.__name__}", json=request.model_dump(mode="json"), timeout=patience
            )
        else:
            values = request.model_dump(mode="json", exclude_none=True)
            reply = await self._request("GET", _fill(kind.path, values), params=values)
        return cast("ReplyT", kind.reply.validate_json(reply.content))

    async def operate(self, operation: Operation[ResultT], told: Told) -> ResultT:
        """Have the service carry an operation out; going away cancels it there."""
        path, body = f"/v1/operations/{type(operation).__name__}", operation.model_dump(mode="json")
        patience = httpx.Timeout(60.0, connect=5.0)
        try:
            async with self._client.stream("POST", path, json=body, timeout=patience) as reply:
                if reply.is_error:
                    await reply.aread()
                    raise _error(reply)
                return await outcome(operation, reply.aiter_lines(), told)
        except httpx.HTTPError as error:
            raise Unavailable(f"the memstream service at {self._url!r} went away: {error!r}; repeat it") from error

    async def memorize(
        self, scope: Scope, content: BinaryIO, given: Input, *, wait: bool = True, timeout: float = 60.0
    ) -> Memorized:
        """Upload a resource, streamed."""
        fields = {
            **_who(scope),
            **given.model_dump(mode="json", exclude_none=True),
            "wait": str(wait).lower(),
            "timeout": str(timeout),
        }
        content.seek(0)
        reply = await self._request(
            "POST",
            "/v1/memorize/file",
            data=fields,
            files={"file": (given.name, content, given.media_type or "application/octet-stream")},
            timeout=timeout + _GRACE_SECONDS,
        )
        return Memorized.model_validate_json(reply.content)

    async def retrieve(self, scope: Scope, request: Ask, labels: Labels = Labels()) -> Retrieved:
        """Ask memory and record what it answered."""
        body = request.model_dump(mode="json") | _who(scope) | {"session": labels.session, "agent": labels.agent}
        return Retrieved.model_validate_json((await self._request("POST", "/v1/retrieve", json=body)).content)

    async def feedback(self, scope: Scope, given: FeedbackGivenData) -> FeedbackReceipt:
        """Record how a retrieval's hits fared."""
        body = _who(scope) | given.model_dump(mode="json")
        return FeedbackReceipt.model_validate_json((await self._request("POST", "/v1/feedback", json=body)).content)

    async def content(self, scope: Scope, resource_id: str, into: BinaryIO) -> Resource:
        """Write a resource's original bytes into a binary file, streamed."""
        resource = await self.ask(GetResource(tenant=scope.tenant, user=scope.user, resource_id=resource_id))
        path = f"/v1/content/{quote(resource_id, safe='')}"
        async with self._client.stream("GET", path, params=_who(scope)) as reply:
            if reply.is_error:
                await reply.aread()
                raise _error(reply)
            async for chunk in reply.aiter_bytes():
                into.write(chunk)
        into.seek(0)
        return resource

    async def events(
        self, scope: Scope, *, after: int = 0, types: Sequence[str] | None = None, limit: int | None = None
    ) -> AsyncIterator[EventView]:
        """Yield events up to the present end."""
        params: dict[str, Any] = {**_who(scope), "after": after, "types": list(types or ())}
        if limit is not None:
            params["limit"] = limit
        reply = await self._request("GET", "/v1/events", params=params)
        for value in reply.json():
            yield EventView.model_validate(value)

    async def follow(
        self, scope: Scope, *, after: int = 0, types: Sequence[str] | None = None
    ) -> AsyncIterator[EventView]:
        """Yield events and go on live, over server-sent events."""
        params = {**_who(scope), "after": after, "types": list(types or ())}
        async with self._client.stream("GET", "/v1/events/stream", params=params, timeout=None) as reply:
            if reply.is_error:
                await reply.aread()
                raise _error(reply)
            async for line in reply.aiter_lines():
                if line.startswith("data:"):
                    yield EventView.model_validate_json(line.removeprefix("data:").strip())

    async def status(self, scope: Scope) -> Status:
        """Return the state of the service."""
        return Status.model_validate_json((await self._request("GET", "/v1/status", params=_who(scope))).content)

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        if options.get("timeout", 0) is None:
            del options["timeout"]
        try:
            reply = await self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"no memstream service answers at {self._url!r} ({error or type(error).__name__}): start one with 'memstream up'"
            ) from error
        if reply.is_error:
            raise _error(reply)
        return reply

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()


def _who(scope: Scope) -> dict[str, Any]:
    return {"tenant": scope.tenant, "user": scope.user}


def _fill(path: str, values: dict[str, Any]) -> str:
    """Put values into the path's places and take them out of the query."""
    parts = []
    for part in path.split("/"):
        if part.startswith("{"):
            parts.append(quote(str(values.pop(part.strip("{}").removesuffix(":path"))), safe=""))
        else:
            parts.append(part)
    return "/".join(parts)


def _error(reply: httpx.Response) -> MemstreamError:
    try:
        body: Mapping[str, Any] = json.loads(reply.content)
        return Fault.model_validate(body["error"]).error()
    except (ValueError, KeyError, TypeError):
        return Unavailable(f"{reply.url} answered {reply.status_code}: is this a memstream service?")
