"""The HTTP application: commands, questions, the event feed, health and metrics."""

import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memstream import __version__
from memstream.events.errors import InvalidInput, MemstreamError, TooLarge
from memstream.services.engine import Engine
from memstream.services.faults import Fault, status_of
from memstream.services.settings import Settings

from .commands import command_routes
from .feed import feed_routes
from .health import health_routes
from .metrics import Metrics
from .operator import operation_routes
from .questions import question_routes

# Room for a form's other fields, and for the escapes of JSON.
_FORM_BYTES = 16 * 1024 * 1024


def create_app(engine: Engine, settings: Settings, asyncapi: dict[str, object] | None = None) -> FastAPI:
    """Build the application around an engine; ``asyncapi`` is the document of the events, if there is one."""
    app = FastAPI(
        title="memstream",
        version=__version__,
        summary="Event-sourced memory for AI agents",
        description="Every call names a `user` (and a `tenant`): memory never answers for anybody else.",
    )
    metrics = Metrics(engine)
    app.include_router(command_routes(engine))
    app.include_router(question_routes(engine))
    app.include_router(feed_routes(engine))
    app.include_router(operation_routes(engine))
    app.include_router(health_routes(engine, metrics, settings.max_parked))
    if asyncapi is not None:
        app.add_api_route(
            "/asyncapi.json", lambda: asyncapi, summary="AsyncAPI document of the events", tags=["service"]
        )
    _handle_errors(app)
    _measure(app, metrics)
    app.add_middleware(_BodyLimit, max_bytes=settings.max_resource_bytes)
    return app


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(MemstreamError)
    async def ours(_request: Request, error: MemstreamError) -> JSONResponse:
        return _fault(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"] if part not in ("body", "query"))
        return _fault(InvalidInput(f"{place or 'body'}: {detail['msg']}"))


def _fault(error: MemstreamError) -> JSONResponse:
    return JSONResponse({"error": Fault.of(error).model_dump()}, status_code=status_of(error))


class _BodyLimit:
    """Refuses a body over the limit: by its announced length before it is read, else while it is."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting its bytes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._limit:
            await self._refused(int(announced))(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise TooLarge(self._words(read))
            return message

        await self._app(scope, counted, send)

    @property
    def _limit(self) -> int:
        return self._max_bytes + _FORM_BYTES

    def _refused(self, size: int) -> JSONResponse:
        return _fault(TooLarge(self._words(size)))

    def _words(self, size: int) -> str:
        return f"the upload has {size / 2**20:,.1f} MiB, over the limit of {self._max_bytes / 2**20:,.0f} MiB"


def _measure(app: FastAPI, metrics: Metrics) -> None:
    @app.middleware("http")
    async def measure(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        started = time.perf_counter()
        response = await proceed(request)
        route = request.scope.get("route")
        metrics.observe(getattr(route, "path", "unknown"), response.status_code, time.perf_counter() - started)
        return response
