"""Extraction workers as processes that share a queue and a slow model: one is killed while it extracts.

A resource whose worker is gone is taken up by another once the server has waited for its acknowledgement (30 s).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from nodes import Node, free_ports
from processes import Service
from scripted_llm import ScriptedLLM
from thinking import Mind, lines_of, statement, thinking_memory
from waiting import until

from memstream import AsyncMemory
from memstream.events import EventPublisher
from memstream.services.results import EventView

RESOURCES = 12
# What one worker has in work at once.
AT_ONCE = 2


class Split:
    """Services around one NATS server, each a process that thinks with the scripted model."""

    def __init__(self, root: Path, nats_url: str, model_url: str) -> None:
        self.nats_url = nats_url
        self._root = root
        self._model_url = model_url
        self._running: list[Service] = []

    async def serve(self, *parts: str) -> Service:
        """Start some parts as one process."""
        running = await asyncio.to_thread(
            lambda: Service(
                self._root / f"service-{len(self._running)}",
                *parts,
                nats_url=self.nats_url,
                OPENAI_BASE_URL=self._model_url,
                OPENAI_API_KEY="any",
                MEMSTREAM_LLM_MODEL="scripted",
                MEMSTREAM_EXTRACTION_CONCURRENCY=str(AT_ONCE),
            )
        )
        self._running.append(running)
        return running

    def kill(self) -> None:
        """Leave nothing running."""
        for service in self._running:
            if service.process.poll() is None:
                service.kill()


class Moody:
    """A model that words each thing differently whenever it is asked; ``asked`` counts that."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, text: str) -> dict[str, Any]:
        told: list[dict[str, Any]] = []
        for number, _, words in lines_of(text):
            self.asked[words] += 1
            told.append(statement(f"In wording {self.asked[words]}: {words}", [number]))
        return {"statements": told}


def fact(number: int) -> str:
    """Return what resource ``number`` says."""
    return f"Gardener number {number} planted {number + 100} trees of variety {number + 500} beside the house."


@pytest.fixture
def mind() -> Iterator[Mind]:
    with ScriptedLLM(latency=1.0) as server:
        yield Mind(server)


@pytest.fixture
async def split(tmp_path: Path, mind: Mind) -> AsyncIterator[Split]:
    """Start a NATS server, and all parts but the extraction in one process; workers are the test's."""
    with ExitStack() as stack:
        node = Node(tmp_path, "nats", free_ports(1)[0])
        stack.callback(node.kill)
        node.start()
        await until(node.listens)
        deployed = Split(tmp_path, node.url, mind.server.url)
        stack.callback(deployed.kill)
        yield deployed


async def publish_all(nats_url: str) -> None:
    """Publish the resources past the gateway."""
    async with await EventPublisher.connect(nats_url) as publisher:
        for number in range(RESOURCES):
            await publisher.publish_conversation("ana", [{"role": "user", "name": "Ana", "content": fact(number)}])


def extractions(events: list[EventView]) -> Counter[tuple[str, int, int]]:
    """Count the extraction events by resource, run and part."""
    return Counter((event.data["resource_id"], event.data["run"], event.data["part"]) for event in events)


async def test_a_worker_killed_while_it_extracts_loses_nothing_and_doubles_nothing(split: Split, mind: Mind) -> None:
    moody = mind.scripts["extract"] = Moody()
    memory = await split.serve("memory", "gateway", "embedding")
    workers = [await split.serve("extraction") for _ in range(2)]
    await publish_all(split.nats_url)

    async def both_at_work() -> bool:
        return mind.server.max_concurrent == 2 * AT_ONCE

    await until(both_at_work)
    await asyncio.to_thread(workers[0].kill)
    async with await AsyncMemory.connect(memory.url) as asked:
        ana = asked.user("ana")

        async def all_extracted() -> bool:
            found = await ana.resources()
            return len(found) == RESOURCES and all(one.status == "ready" for one in found)

        await until(all_extracted, timeout=120)
        resources = {one.id for one in await ana.resources()}
        counted = extractions(await ana.events(types=["items.extracted"]))
        items = [item.text for item in await ana.items(limit=1_000)]
        assert not await ana.events(types=["extraction.failed"])
        assert (await ana.counts()).parked == 0
    # What the rules found is one event, what the model said of it another.
    assert counted == Counter((resource, 0, part) for resource in resources for part in (0, 1))
    said = [f"In wording {wording}: {fact(number)}" for number in range(RESOURCES) for wording in (1, 2, 3)]
    assert sorted(text for text in items if text not in said) == sorted(fact(number) for number in range(RESOURCES))
    assert sorted(text.split(": ", 1)[1] for text in items if text in said) == sorted(map(fact, range(RESOURCES)))
    # It died with work in hand, which was asked about again, and nothing else was.
    again = sum(moody.asked.values()) - RESOURCES
    assert 0 < again <= AT_ONCE


async def test_a_worker_that_comes_later_takes_up_what_a_killed_one_left(split: Split, mind: Mind) -> None:
    mind.scripts["extract"] = Moody()
    memory = await split.serve("memory", "gateway", "embedding")
    first = await split.serve("extraction")
    await publish_all(split.nats_url)

    async def at_work() -> bool:
        return mind.server.max_concurrent == AT_ONCE

    await until(at_work)
    await asyncio.to_thread(first.kill)
    await split.serve("extraction")
    async with await AsyncMemory.connect(memory.url) as asked:
        ana = asked.user("ana")

        async def all_extracted() -> bool:
            return [one.status for one in await ana.resources()] == ["ready"] * RESOURCES

        await until(all_extracted, timeout=120)
        assert len(await ana.items(limit=1_000)) == 2 * RESOURCES


async def test_work_that_waits_long_for_its_turn_is_paid_for_once(tmp_path: Path, mind: Mind) -> None:
    moody = mind.scripts["extract"] = Moody()
    mind.server.latency = 2.0
    # The last one waits for longer than the server waits for a worker that says nothing.
    resources = 18
    async with thinking_memory(tmp_path, mind.server, extraction_concurrency=1) as memory:
        ana = memory.user("ana")
        for number in range(resources):
            await ana.memorize([{"role": "user", "content": fact(number)}], wait=False)

        async def all_extracted() -> bool:
            return [one.status for one in await ana.resources()] == ["ready"] * resources

        await until(all_extracted, timeout=120)
    assert moody.asked == Counter(map(fact, range(resources)))
