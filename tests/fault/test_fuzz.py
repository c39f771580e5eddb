"""Thousands of hostile messages, straight into the stream: all parked, none applied, and nothing stops."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import psutil
import pytest
from hostile import VICTIM, hostile
from nats.aio.client import Client
from nats.errors import MaxPayloadError
from processes import Service
from waiting import until

from memstream import AsyncMemory
from memstream.events.log import EventLog
from memstream.projections.models import Counts
from memstream.services.operations import ListParkedEvents

SEED = 20_263
MESSAGES = int(os.environ.get("MEMSTREAM_FUZZ_MESSAGES", "3000"))
CHUNK = 200
GROWTH_MB = 200
SERVER_MB = 800
VALID = "ana"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Start a service of this test alone."""
    running = await asyncio.to_thread(Service, tmp_path / "data")
    yield running
    running.kill()


async def known(memory: AsyncMemory, user: str) -> Counts:
    """Return how much a user's memory holds, apart from what was refused and what was asked."""
    counts = await memory.user(user).counts()
    return counts.model_copy(update={"position": 0, "parked": 0, "retrievals": 0})


async def remembers(memory: AsyncMemory, number: int) -> None:
    """Memorize a statement and find it again."""
    user, text = memory.user(VALID), f"Box number {number} is in the cellar of house {number}."
    await user.memorize([{"role": "user", "content": text}])
    found = await user.retrieve(text)
    assert text in [item.text for item in found.items]


async def templates(nats_url: str) -> list[dict[str, Any]]:
    """Return the victim's own events as they are in the log."""
    async with await EventLog.open(nats_url) as log:
        return [json.loads(event.encode()) async for event in log.read() if event.user == VICTIM]


async def flood(nc: Client, bodies: list[dict[str, Any]], memory: AsyncMemory) -> int:
    """Publish all hostile messages, while a valid user goes on; return how many were sent."""
    sent = 0
    for subject, body in hostile(SEED, MESSAGES, bodies):
        sent += 1
        if sent % CHUNK:
            await nc.publish(subject, body)
        else:
            # Its acknowledgement says that all before it are stored, too: more at once would only fill a queue.
            assert b"error" not in (await nc.request(subject, body, timeout=60)).data
        if sent % (MESSAGES // 5) == 0:
            await remembers(memory, sent)
    await nc.flush(timeout=60)
    return sent


@pytest.mark.timeout(3_600 if MESSAGES > 10_000 else 240)
async def test_hostile_messages_are_parked_and_change_nobodys_memory(service: Service) -> None:
    async with await AsyncMemory.connect(service.url) as memory:
        victim = memory.user(VICTIM)
        await victim.memorize([{"role": "user", "content": "My bicycle is green."}])
        await victim.retrieve("Which colour has the bicycle?")
        await victim.settle()
        await remembers(memory, 0)
        before, items = await known(memory, VICTIM), await victim.items()
        process = psutil.Process(service.process.pid)
        bodies, held = await templates(service.nats_url), process.memory_info().rss
        async with await EventLog.open(service.nats_url) as log:
            start = await log.state()
            sent = await flood(log.nc, bodies, memory)
            end = (await log.state()).last_position
            # What we append ourselves carries its id in a header.
            stored = {one.position async for one in log.read_stored(after=start.last_position) if not one.message_id}
        assert len(stored) == sent

        async def caught_up() -> bool:
            status = await victim.status()
            assert status.failure is None
            return status.projection_position >= end

        await until(caught_up, timeout=600)
        assert await known(memory, VICTIM) == before
        assert await victim.items() == items
        parked = {one.position for one in await memory.operate(ListParkedEvents())}
        assert stored <= parked, sorted(stored - parked)[:10]
        await remembers(memory, MESSAGES + 1)
        assert (process.memory_info().rss - held) / 2**20 < GROWTH_MB
        server = service.server()
        assert server is not None
        assert server.memory_info().rss / 2**20 < SERVER_MB


async def test_a_message_over_the_servers_limit_never_reaches_the_log(service: Service) -> None:
    nc = await nats.connect(service.nats_url)
    with pytest.raises(MaxPayloadError):
        await nc.publish(f"memstream.default.{VICTIM}.items.extracted", bytes(nc.max_payload + 1))
    await nc.close()
    address = service.nats_url.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(address[0], int(address[1]))
    # A client that does not ask its library.
    size = 2 * 2**20
    writer.write(b'CONNECT {"verbose":false}\r\nPUB memstream.default.vera.items.extracted %d\r\n' % size)
    answer = b"".join([line async for line in reader])
    assert b"Maximum Payload Violation" in answer
    writer.close()
    async with await AsyncMemory.connect(service.url) as memory:
        await remembers(memory, 1)
