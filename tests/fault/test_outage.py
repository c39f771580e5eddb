"""The log goes away for a while, hangs, or stutters: clients wait or are told, and nothing acknowledged is lost."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from deployments import ready
from nodes import Node, free_ports, open_log
from processes import Service
from waiting import until

from memstream import AsyncMemory
from memstream.events import payloads as p
from memstream.events import pulling
from memstream.events import types as t
from memstream.events.errors import LogUnavailable, MemstreamError
from memstream.events.subjects import Scope
from memstream.services import operations as o

# How long the server is away; 30 in the slow variant.
SECONDS = float(os.environ.get("MEMSTREAM_OUTAGE_SECONDS", "5"))
# A refusal says what is away, and what to do.
TOLD = re.compile(r"(log|store|server|service).*(repeat|retr|try|again|safe to|is the server up)", re.DOTALL)
PULSES = 10
PULSE_SECONDS = 0.2


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """Start a NATS server that nobody but the test starts again."""
    server = Node(tmp_path, "nats", free_ports(1)[0])
    server.start()
    await until(server.listens)
    yield server
    server.kill()


@pytest.fixture
async def service(node: Node, tmp_path: Path) -> AsyncIterator[Service]:
    """Start a service around that server."""
    running = await asyncio.to_thread(lambda: Service(tmp_path / "data", nats_url=node.url))
    yield running
    running.kill()


class Talker:
    """Memorizes one statement after another, and repeats those that were refused."""

    def __init__(self, memory: AsyncMemory) -> None:
        self._user = memory.user("ana")
        self.acknowledged: list[str] = []
        self.refused: list[str] = []

    async def talk(self) -> None:
        """Go on until cancelled."""
        while True:
            text = f"Box number {len(self.acknowledged)} is in the cellar."
            try:
                await self._user.memorize([{"role": "user", "content": text}], wait=False)
                self.acknowledged.append(text)
            except MemstreamError as error:
                # Told, in a sentence; nothing is known of what became of it, so it is repeated.
                self.refused.append(str(error))


async def passed(seconds: float) -> None:
    """Return once so much time has passed: an outage has no other end."""
    end = time.monotonic() + seconds

    async def over() -> bool:
        return time.monotonic() > end

    await until(over, timeout=seconds + 10)


async def kept_through(service: Service, outage: Callable[[], Awaitable[None]]) -> Talker:
    """Let a client talk before, during and after an outage, and compare what it was told with what is known."""
    async with await AsyncMemory.connect(service.url) as memory:
        talker = Talker(memory)
        talking = asyncio.create_task(talker.talk())
        for act in (None, outage):
            if act is not None:
                await act()
            goal = len(talker.acknowledged) + 10

            async def went_on(wanted: int = goal) -> bool:
                return len(talker.acknowledged) >= wanted

            await until(went_on, timeout=60)
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        await ready(service.url)
        await memory.user("ana").settle(timeout=90)
        texts = [item.text for item in await memory.user("ana").items(limit=1_000)]
        assert set(talker.acknowledged) <= set(texts)
        assert len(texts) == len(set(texts))
        verified = await memory.operate(o.Verify())
        assert verified.matches, verified.difference
    return talker


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_server_that_is_away_for_a_while_costs_nothing_but_time(how: str, node: Node, service: Service) -> None:
    async def away() -> None:
        if how == "killed":
            node.kill()
        else:
            node.signal(signal.SIGSTOP)
        await passed(SECONDS)
        if how == "killed":
            node.start()
        else:
            node.signal(signal.SIGCONT)

    talker = await kept_through(service, away)
    assert all(TOLD.search(told) for told in talker.refused), talker.refused[:3]


async def test_a_server_on_a_stuttering_disk_is_only_slow(node: Node, service: Service) -> None:
    async def stutter() -> None:
        for _ in range(PULSES):
            node.signal(signal.SIGSTOP)
            await passed(PULSE_SECONDS)
            node.signal(signal.SIGCONT)
            await passed(PULSE_SECONDS / 4)

    talker = await kept_through(service, stutter)
    assert not talker.refused


async def test_a_log_that_hangs_is_said_to_be_away_and_read_again_when_it_is_back(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(pulling, "_OPEN_SECONDS", 0.5)
    async with open_log(node.url) as log:
        event = t.CategoryCreated.of(
            Scope.of("default", "ana"),
            p.CategoryCreatedData(category_id="c", name="n", description="d", origin="user"),
        )
        appended = await log.append(event)
        node.signal(signal.SIGSTOP)
        with pytest.raises(LogUnavailable, match="is the server up"):
            await anext(log.follow())
        node.signal(signal.SIGCONT)
        assert [one.position async for one in log.read()] == [appended.position]
