"""Fixtures: a real NATS server, a real log, a real memory; every test gets its own directory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from memstream import AsyncMemory
from memstream.events.datadir import DataDirectory
from memstream.events.log import EventLog
from memstream.events.server import EmbeddedServer

CONVERSATION: list[dict[str, Any]] = [
    {"id": "c1", "role": "user", "name": "Ana", "content": "Hi there!", "time": "2024-05-01T10:00:00Z"},
    {
        "id": "c2",
        "role": "user",
        "name": "Ana",
        "content": "I went hiking in the Alps yesterday with my sister Mia.",
        "time": "2024-05-01T10:01:00Z",
    },
    {
        "id": "c3",
        "role": "assistant",
        "content": "Which trail did the two of you take?",
        "time": "2024-05-01T10:02:00Z",
    },
    {
        "id": "c4",
        "role": "user",
        "name": "Ana",
        "content": "On weekends I usually go climbing, or I bake sourdough bread.",
        "time": "2024-05-01T10:03:00Z",
    },
    {"id": "c5", "role": "user", "name": "Ana", "content": "Thanks!", "time": "2024-05-01T10:04:00Z"},
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """Start a NATS server of this test alone."""
    with DataDirectory.claim(tmp_path / "server") as directory:
        async with await EmbeddedServer.start(directory) as running:
            yield running


@pytest.fixture
async def log(server: EmbeddedServer) -> AsyncIterator[EventLog]:
    """Open the log of this test's server."""
    async with await EventLog.open(server.url) as opened:
        yield opened


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[AsyncMemory]:
    """Open a memory of this test alone."""
    async with await AsyncMemory.open(tmp_path / "memory") as opened:
        yield opened


@pytest.fixture
def conversation() -> list[dict[str, Any]]:
    """Return a short conversation with ids and times."""
    return [dict(message) for message in CONVERSATION]
