"""Routes that read: one for every question in ``reads``, from the same definition that Python and NATS use."""

import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, BinaryIO, cast

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, ValidationError

from memstream.events.errors import InvalidInput
from memstream.events.subjects import Scope
from memstream.services.engine import Engine
from memstream.services.reads import READS, Ask, GetFile, Read

_PLACE = re.compile(r"{(\w+)(?::path)?}")
_CHUNK = 256 * 1024
_SPOOL = 1024 * 1024


def question_routes(engine: Engine) -> APIRouter:
    """Return a GET route for every question that has a path, and one POST route for the others."""
    router = APIRouter(tags=["memory"])

    @router.get(
        "/v1/files/{category:path}.md",
        response_class=PlainTextResponse,
        summary="A category's file as Markdown",
    )
    async def markdown(category: str, user: str, tenant: str = "default") -> PlainTextResponse:
        file = await engine.ask(GetFile(tenant=tenant, user=user, category=category))
        return PlainTextResponse(file.text, media_type="text/markdown")

    @router.get("/v1/content/{resource_id:path}", summary="The original bytes of a resource")
    async def content(resource_id: str, user: str, tenant: str = "default") -> StreamingResponse:
        # Closed by the response, once it is sent.
        spool = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_SPOOL))  # noqa: SIM115 - see above
        try:
            resource = await engine.content(Scope.of(tenant, user), resource_id, spool)
        except BaseException:
            spool.close()
            raise
        return StreamingResponse(_chunks(spool), media_type=resource.media_type)

    # A longer path first: "/v1/items" would never be reached behind "/v1/items/{item_id:path}".
    for kind in sorted(READS.values(), key=lambda one: (one.path or "", one.__name__)):
        if kind.path is not None:
            _add(router, kind, engine)

    @router.post("/v1/ask/{name}", summary="Any other question, as memstream's own client asks it")
    async def ask(name: str, request: Request) -> Response:
        asked = READS.get(name)
        if asked is None or asked is Ask:
            raise InvalidInput(f"no question {name!r}; known are {', '.join(sorted(READS))}")
        return _reply(asked, await engine.ask(_parse(asked, await request.body())))

    return router


def _add(router: APIRouter, kind: type[Read[Any]], engine: Engine) -> None:
    assert kind.path is not None
    router.add_api_route(
        kind.path,
        _endpoint(kind, engine),
        methods=["GET"],
        name=kind.__name__,
        summary=(kind.__doc__ or "").strip().splitlines()[0],
        openapi_extra={"parameters": _parameters(kind)},
    )


def _endpoint(kind: type[Read[Any]], engine: Engine) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        values = {**request.query_params, **request.path_params}
        try:
            asked = kind.model_validate_strings(values)
        except ValidationError as error:
            raise _invalid(error) from error
        return _reply(kind, await engine.ask(asked))

    return endpoint


def _parse(kind: type[Read[Any]], body: bytes) -> Read[Any]:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> InvalidInput:
    detail = error.errors(include_url=False)[0]
    return InvalidInput(f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}")


def _reply(kind: type[Read[Any]], answer: object) -> Response:
    return Response(kind.reply.dump_json(answer), media_type="application/json")


def _parameters(kind: type[BaseModel]) -> list[dict[str, Any]]:
    """Describe a question's fields as OpenAPI parameters."""
    schema = kind.model_json_schema()
    places = set(_PLACE.findall(getattr(kind, "path", "") or ""))
    return [
        {
            "name": name,
            "in": "path" if name in places else "query",
            "required": name in places or name in schema.get("required", []),
            "schema": {key: value for key, value in field.items() if key != "title"},
        }
        for name, field in schema["properties"].items()
    ]


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
