"""The same cases against each way to reach a memory: in this process, and over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from gateways import serving

from memstream import AsyncMemory, AsyncUser


async def _embedded(directory: Path) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(directory) as memory:
        yield memory


async def _over_http(directory: Path) -> AsyncIterator[AsyncMemory]:
    async with serving(directory) as (_, url), await AsyncMemory.connect(url) as memory:
        yield memory


@pytest.fixture(scope="module", params=["embedded", "http"])
async def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AsyncMemory]:
    """Open one memory for a module; tests keep apart by their users."""
    opening = {"embedded": _embedded, "http": _over_http}[request.param]
    async for memory in opening(tmp_path_factory.mktemp(request.param)):
        yield memory


@pytest.fixture
def user(shared: AsyncMemory) -> AsyncUser:
    """Return a user that nobody else uses."""
    return shared.user(f"user {uuid4()} ä/😀")
