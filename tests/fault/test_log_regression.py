"""A log that lost its end, was replaced, or could drop history is noticed while the service runs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.js import JetStreamContext

from memstream import AsyncMemory
from memstream.events.errors import LogIntegrityError, Unavailable
from memstream.events.stream import STREAM

SAID = [{"role": "user", "name": "Ana", "content": "I keep my skis in the cellar."}]


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[AsyncMemory]:
    """Open a memory that holds something."""
    async with await AsyncMemory.open(tmp_path / "data") as opened:
        await opened.user("ana").memorize(SAID)
        await opened.user("ana").settle()
        yield opened


def stream_of(memory: AsyncMemory) -> JetStreamContext:
    """Return JetStream behind a memory, to do harm with."""
    context: JetStreamContext = memory._backend.log.nc.jetstream()  # type: ignore[attr-defined]  # what a user has no need of
    return context


async def refusal(memory: AsyncMemory) -> str:
    """Wait until the service refuses to write and return what it says."""
    async with asyncio.timeout(20):
        number = 0
        while True:
            number += 1
            try:
                await memory.user("ben").memorize([{"role": "user", "content": f"note {number}"}], wait=False)
            except LogIntegrityError as error:
                return str(error)
            except Unavailable:
                # Before it is noticed, what is written to another log is never seen again.
                continue


async def test_a_configuration_that_would_drop_history_is_refused_while_running(memory: AsyncMemory) -> None:
    js = stream_of(memory)
    config = (await js.stream_info(STREAM)).config
    await js.update_stream(config.evolve(max_age=3_600))
    said = await refusal(memory)
    assert "max_age" in said
    assert "nats stream edit" in said
    status = await memory.user("ana").status()
    assert "max_age" in str(status.failure)
    # What is known can still be read.
    assert await memory.user("ana").items()


async def test_a_log_that_was_replaced_is_refused_while_running(memory: AsyncMemory) -> None:
    js = stream_of(memory)
    config = (await js.stream_info(STREAM)).config
    await js.delete_stream(STREAM)
    await js.add_stream(config.evolve(metadata={"memstream.log.id": "another"}))
    said = await refusal(memory)
    # Whoever writes first sees a position again; else the watch sees another log.
    assert "lost its end" in said or "replaced" in said
    assert await memory.user("ana").items()


async def test_a_log_that_begins_anew_is_refused_while_running(memory: AsyncMemory) -> None:
    js = stream_of(memory)
    config = (await js.stream_info(STREAM)).config
    await js.delete_stream(STREAM)
    await js.add_stream(config)
    said = await refusal(memory)
    assert "lost its end" in said or "replaced" in said
    assert await memory.user("ana").items()
