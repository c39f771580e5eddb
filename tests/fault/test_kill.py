"""Kill -9 under load: what was acknowledged is there, once, and searchable."""

import asyncio
import random
from collections.abc import Callable

import psutil
import pytest
from processes import Service
from waiting import until, until_now

from memstream import AsyncMemory
from memstream.events.errors import MemstreamError

ROUNDS = 3


async def _load(url: str, acknowledged: list[str], stop: asyncio.Event, first: int) -> None:
    """Memorize one statement after another until told to stop or cut off; note what was acknowledged."""
    try:
        async with await AsyncMemory.connect(url, timeout=10) as memory:
            user, number = memory.user("ana"), first
            while not stop.is_set():
                text = f"Box number {number} holds the tools for job {number}."
                await user.memorize([{"role": "user", "content": text}], wait=False)
                acknowledged.append(text)
                number += 1
    except MemstreamError:
        return


@pytest.mark.timeout(180)
async def test_every_acknowledged_statement_survives_kills_of_the_whole_service(start: Callable[[], Service]) -> None:
    chance = random.Random(7)
    acknowledged: list[str] = []
    for _ in range(ROUNDS):
        service = await asyncio.to_thread(start)
        before, enough = len(acknowledged), 5 + chance.randrange(20)
        stop = asyncio.Event()
        load = asyncio.create_task(_load(service.url, acknowledged, stop, before))

        async def loaded(goal: int = before + enough) -> bool:
            return len(acknowledged) >= goal

        await until(loaded)
        await asyncio.to_thread(service.kill)
        stop.set()
        await load
    service = await asyncio.to_thread(start)
    async with await AsyncMemory.connect(service.url) as memory:
        user = memory.user("ana")
        await user.settle(timeout=90)
        items = await user.items(limit=1_000)
        texts = [item.text for item in items]
        assert set(acknowledged) <= set(texts)
        assert len(texts) == len(set(texts))
        assert (await user.counts()).parked == 0
        found = await user.retrieve(acknowledged[-1])
        assert found.items[0].text == acknowledged[-1]


async def test_a_killed_nats_server_is_started_again_and_loses_nothing(start: Callable[[], Service]) -> None:
    service = await asyncio.to_thread(start)
    async with await AsyncMemory.connect(service.url) as memory:
        user = memory.user("ana")
        await user.memorize([{"role": "user", "content": "My bicycle is green."}])
        server = _nats(service)
        server.kill()
        # The append waits for the server to come back: repeating it would be safe, but is not needed.
        done = await user.memorize([{"role": "user", "content": "My helmet is yellow."}])
        assert done.resource.status == "ready"
        assert {item.text for item in await user.items()} == {"My bicycle is green.", "My helmet is yellow."}
        assert _nats(service).pid != server.pid


def test_a_killed_service_leaves_no_server_behind(start: Callable[[], Service]) -> None:
    service = start()
    family = psutil.Process(service.process.pid).children(recursive=True)
    assert any("nats-server" in process.name() for process in family)
    service.kill()
    until_now(lambda: not any(process.is_running() and process.status() != "zombie" for process in family))


def _nats(service: Service) -> psutil.Process:
    children = psutil.Process(service.process.pid).children(recursive=True)
    return next(process for process in children if "nats-server" in process.name())
