"""Health and metrics."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from memstream.events.errors import MemstreamError
from memstream.events.payloads import Frozen
from memstream.services.engine import Engine
from memstream.services.reads import GetProgress
from memstream.services.settings import Settings

from .metrics import CONTENT_TYPE, Metrics


class Readiness(Frozen):
    """Whether calls can be served; ``reasons`` say why not."""

    ready: bool
    log_position: int
    projection_position: int
    reasons: tuple[str, ...]


def health_routes(engine: Engine, settings: Settings, metrics: Metrics) -> APIRouter:
    """Return the routes of liveness, readiness and metrics."""
    router = APIRouter(tags=["service"])

    @router.get("/health/live", summary="The process runs")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/health/ready", summary="The log answers and the projection keeps up")
    async def ready() -> JSONResponse:
        state = await readiness(engine, settings)
        return JSONResponse(state.model_dump(mode="json"), status_code=200 if state.ready else 503)

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def prometheus() -> Response:
        return Response(await metrics.render(), media_type=CONTENT_TYPE)

    return router


async def readiness(engine: Engine, settings: Settings) -> Readiness:
    """Ask the log and the projection how they are."""
    reasons: list[str] = []
    end = position = 0
    try:
        end = (await engine.log.state()).last_position
    except MemstreamError as error:
        reasons.append(f"the log is unreachable: {error}")
    try:
        progress = await engine.ask(GetProgress(tenant=settings.tenant))
        position = progress.position
        if progress.failure:
            reasons.append(f"the projection is stuck: {progress.failure}")
    except MemstreamError as error:
        reasons.append(f"memory does not answer: {error}")
    else:
        if end - position > settings.ready_lag:
            reasons.append(f"the projection is {end - position} events behind, over {settings.ready_lag}")
    return Readiness(ready=not reasons, log_position=end, projection_position=position, reasons=tuple(reasons))
