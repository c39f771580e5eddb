"""The HTTP application: commands, questions, the event feed, health and metrics."""

import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from memstream import __version__
from memstream.events.errors import InvalidInput, MemstreamError, TooLarge
from memstream.services.engine import Engine
from memstream.services.faults import Fault, status_of
from memstream.services.settings import Settings

from .commands import command_routes
from .feed import feed_routes
from .health import health_routes
from .metrics import Metrics
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
    app.include_router(health_routes(engine, settings, metrics))
    if asyncapi is not None:
        app.add_api_route(
            "/asyncapi.json", lambda: asyncapi, summary="AsyncAPI document of the events", tags=["service"]
        )
    _handle_errors(app)
    _refuse_huge(app, settings.max_resource_bytes)
    _measure(app, metrics)
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


def _refuse_huge(app: FastAPI, max_bytes: int) -> None:
    """Refuse a body that can only be too large before it is read."""

    @app.middleware("http")
    async def refuse(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > max_bytes + _FORM_BYTES:
            return _fault(
                TooLarge(
                    f"the upload has {int(length) / 2**20:,.1f} MiB, over the limit of {max_bytes / 2**20:,.0f} MiB"
                )
            )
        return await proceed(request)


def _measure(app: FastAPI, metrics: Metrics) -> None:
    @app.middleware("http")
    async def measure(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        started = time.perf_counter()
        response = await proceed(request)
        route = request.scope.get("route")
        metrics.observe(getattr(route, "path", "unknown"), response.status_code, time.perf_counter() - started)
        return response
