"""Health and metrics."""

import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from memstream.events.errors import MemstreamError
from memstream.events.payloads import Frozen
from memstream.services.engine import Engine
from memstream.services.reads import GetProgress, Progress

from .metrics import CONTENT_TYPE, Metrics

_PATIENCE_SECONDS = 1.0
_POLL_SECONDS = 0.02
# Who asks wants to know now, also while a request waits for a leader that died.
_ANSWER_SECONDS = 2.0


class Readiness(Frozen):
    """Whether calls can be served; ``reasons`` say why not."""

    ready: bool
    log_position: int
    projection_position: int
    reasons: tuple[str, ...]


def health_routes(engine: Engine, metrics: Metrics, max_parked: int) -> APIRouter:
    """Return the routes of liveness, readiness and metrics."""
    router = APIRouter(tags=["service"])

    @router.get("/health/live", summary="The process runs")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/health/ready", summary="The log answers and the projection keeps up")
    async def ready() -> JSONResponse:
        state = await readiness(engine, max_parked)
        return JSONResponse(state.model_dump(mode="json"), status_code=200 if state.ready else 503)

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def prometheus() -> Response:
        return Response(await metrics.render(), media_type=CONTENT_TYPE)

    return router


async def readiness(engine: Engine, max_parked: int) -> Readiness:
    """Ask the log and the projection how they are."""
    reasons: list[str] = []
    end = position = 0
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            end = (await engine.log.state()).last_position
    except (MemstreamError, TimeoutError) as error:
        reasons.append(f"the log is unreachable: {str(error) or f'no answer within {_ANSWER_SECONDS:g} s'}")
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS + _ANSWER_SECONDS):
            progress = await _caught_up(engine, end)
        position = progress.position
        if progress.failure:
            reasons.append(f"the projection is stuck: {progress.failure}")
        elif position < end:
            reasons.append(f"the projection is {end - position} events behind, and was for {_PATIENCE_SECONDS:g} s")
        if progress.parked > max_parked:
            reasons.append(
                f"{progress.parked} events are parked, over {max_parked}: see 'memstream parked list', "
                "then retry or drop them"
            )
    except (MemstreamError, TimeoutError) as error:
        reasons.append(f"memory does not answer: {str(error) or f'not within {_ANSWER_SECONDS:g} s'}")
    return Readiness(ready=not reasons, log_position=end, projection_position=position, reasons=tuple(reasons))


async def _caught_up(engine: Engine, end: int) -> Progress:
    """Return how far the projection is once it has reached ``end``, or after a moment: new events are always on their way."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while True:
        progress = await engine.ask(GetProgress())
        if progress.position >= end or progress.failure or asyncio.get_running_loop().time() > deadline:
            return progress
        await asyncio.sleep(_POLL_SECONDS)
