"""The route of operations: one for all of them, answered as lines of JSON while they run."""

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from memstream.evolution.history import History
from memstream.services.engine import Engine
from memstream.services.evolving_requests import GetEvolution
from memstream.services.streaming import lines, parsed


def operation_routes(engine: Engine) -> APIRouter:
    """Return the route that carries operations out; a client that goes away cancels what it asked for."""
    router = APIRouter(tags=["operations"])

    @router.post("/v1/operations/{name}", summary="Carry an operation out; NDJSON: progress lines, then the result")
    async def operate(name: str, request: Request) -> StreamingResponse:
        operation = parsed(name, await request.body() or b"{}")
        return StreamingResponse(lines(engine, operation), media_type="application/x-ndjson")

    @router.get("/v1/evolution", summary="A user's evolution: every step, and the genealogy of the categories")
    async def evolution(user: str, tenant: str = "default", rejected: bool = True) -> History:
        asked = GetEvolution(tenant=tenant, user=user, rejected=rejected)
        return await engine.operate(asked, lambda _: None)

    return router
