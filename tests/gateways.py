"""A whole service in this process, with its HTTP gateway on a free port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from memstream.services.asyncapi import asyncapi_document
from memstream.services.bootstrap import Service, run
from memstream.services.gateway.app import create_app
from memstream.services.serving import _Server, listen
from memstream.services.settings import Settings


@asynccontextmanager
async def serving(directory: Path, **options: object) -> AsyncIterator[tuple[Service, str]]:
    """Run a service and yield it with its HTTP address."""
    settings = Settings.model_validate({"data_dir": directory, **options})
    async with run(settings) as service:
        door = listen("127.0.0.1", 0)
        app = create_app(service.engine, settings, asyncapi_document())
        server = _Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=2))
        running = asyncio.create_task(server.serve(sockets=[door]))
        try:
            yield service, f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running
