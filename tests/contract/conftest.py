"""The same cases against each way to reach a memory: in this process, and over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn

from memstream import AsyncMemory
from memstream.services.bootstrap import run
from memstream.services.gateway.app import create_app
from memstream.services.serving import _listen, _Server
from memstream.services.settings import Settings


async def _embedded(directory: Path) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(directory) as memory:
        yield memory


async def _over_http(directory: Path) -> AsyncIterator[AsyncMemory]:
    settings = Settings(data_dir=directory)
    async with run(settings) as service:
        door = _listen("127.0.0.1", 0)
        config = uvicorn.Config(create_app(service.engine, settings), log_level="error", lifespan="off")
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[door]))
        async with await AsyncMemory.connect(f"http://127.0.0.1:{door.getsockname()[1]}") as memory:
            yield memory
        server.should_exit = True
        await serving


@pytest.fixture(scope="module", params=["embedded", "http"])
async def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AsyncMemory]:
    """Open one memory for a module; tests keep apart by their users."""
    opening = {"embedded": _embedded, "http": _over_http}[request.param]
    async for memory in opening(tmp_path_factory.mktemp(request.param)):
        yield memory
