"""Embeddings from an endpoint: batched, retried, checked, paid for once, and never asked for by a replay."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_llm import Failure, ScriptedLLM, Vectors

from memstream import AsyncMemory
from memstream.events.errors import InvalidInput
from memstream.services import operations as o
from memstream.services.models.client import Models
from memstream.services.models.embedder import EndpointEmbedder
from memstream.services.models.profiles import Profile
from memstream.services.settings import Settings


@pytest.fixture
def server() -> Iterator[ScriptedLLM]:
    with ScriptedLLM(dimension=96) as running:
        yield running


def settings(root: Path, server: ScriptedLLM) -> Settings:
    file = root / "models.toml"
    root.mkdir(parents=True, exist_ok=True)
    profile = (
        f'model = "scripted-embedding"\nbase_url = "{server.url}"\napi_key = "any"\nretries = 2\nprice_in = 0.02\n'
    )
    file.write_text(f'[profiles.vectors]\n{profile}[tasks]\nembed = "vectors"\ndefault = "none"\n')
    return Settings(models_file=file)


@pytest.fixture
async def memory(tmp_path: Path, server: ScriptedLLM) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(tmp_path / "memory", settings=settings(tmp_path, server)) as opened:
        yield opened


@pytest.fixture
async def models(server: ScriptedLLM) -> AsyncIterator[Models]:
    opened = Models({"embed": Profile(model="scripted-embedding", base_url=server.url, api_key="any", retries=2)})
    yield opened
    await opened.close()


@pytest.fixture
async def endpoint(models: Models) -> EndpointEmbedder:
    return await EndpointEmbedder.open(models)


async def test_a_memory_is_embedded_and_asked_through_the_endpoint(
    memory: AsyncMemory, conversation: list[dict[str, Any]]
) -> None:
    ana = memory.user("ana")
    await ana.memorize(conversation)
    found = await ana.retrieve("Where did Ana go hiking with her sister?")
    assert found.items[0].signals["vector"] > 0
    spaces = {event.data["space"]["model"] for event in await ana.events(types=["vectors.embedded"])}
    assert spaces == {"scripted-embedding"}


async def test_a_text_is_paid_for_once(endpoint: EndpointEmbedder, server: ScriptedLLM) -> None:
    await endpoint.embed(["tea", "coffee", "tea", ""])
    await endpoint.embed(["coffee", "tea"])
    sent = [text for request in server.asked("embeddings") for text in request.body["input"]]
    assert sorted(sent) == ["coffee", "memory", "tea"]


async def test_many_texts_go_in_batches_and_come_back_in_order(
    endpoint: EndpointEmbedder, models: Models, server: ScriptedLLM
) -> None:
    server.max_inputs = 128
    together = await endpoint.embed([f"text {n}" for n in range(300)])
    alone = await (await EndpointEmbedder.open(models)).embed(["text 299"])
    assert together.shape == (300, 96)
    assert abs(together[299] - alone[0]).max() < 1e-6


async def test_a_server_that_is_busy_is_asked_again(endpoint: EndpointEmbedder, server: ScriptedLLM) -> None:
    server.queue_embeddings(Failure(429, headers={"retry-after": "0.1"}), Failure(500))
    assert (await endpoint.embed(["tea"])).shape == (1, 96)


async def test_another_dimension_is_refused_with_the_way_out(endpoint: EndpointEmbedder, server: ScriptedLLM) -> None:
    server.queue_embeddings(Vectors(dimension=12))
    with pytest.raises(InvalidInput, match="gives vectors of 12 dimensions, and this space has 96"):
        await endpoint.embed(["tea"])


async def test_a_search_finds_by_words_while_the_endpoint_is_away(
    memory: AsyncMemory, server: ScriptedLLM, conversation: list[dict[str, Any]]
) -> None:
    ana = memory.user("ana")
    await ana.memorize(conversation)
    server.answer_embeddings(Failure(503))
    found = await ana.retrieve("hiking in the Alps with a sister?")
    assert "Alps" in found.items[0].text


async def test_a_replay_asks_for_no_vector(
    memory: AsyncMemory, server: ScriptedLLM, conversation: list[dict[str, Any]]
) -> None:
    await memory.user("ana").memorize(conversation)
    await memory.user("ana").settle()
    before = await memory.operate(o.TakeDigest())
    server.forget()
    await memory.operate(o.Replay())
    assert server.requests == []
    assert (await memory.operate(o.TakeDigest())).digest == before.digest


async def test_what_another_machine_embedded_is_imported_without_a_call(
    tmp_path: Path, server: ScriptedLLM, conversation: list[dict[str, Any]]
) -> None:
    archive = str(tmp_path / "memory.tar")
    async with await AsyncMemory.open(tmp_path / "here", settings=settings(tmp_path, server)) as memory:
        await memory.user("ana").memorize(conversation)
        await memory.user("ana").settle()
        await memory.operate(o.Export(path=archive))
    server.forget()
    async with await AsyncMemory.open(tmp_path / "there", settings=settings(tmp_path, server)) as memory:
        await memory.operate(o.Import(path=archive))
        ana = memory.user("ana")
        await ana.settle()
        # The queues are worked off in order: behind what was imported comes this.
        new = "I collect rare stamps of birds."
        done = await ana.memorize([{"role": "user", "name": "Ana", "content": new}])
        embedded = await ana.events(types=["vectors.embedded"])
        assert len([one for one in embedded if one.data.get("resource_id") == done.resource.id]) == 2
        assert (await ana.retrieve("Where did Ana go hiking with her sister?")).items[0].signals["vector"] > 0
    asked = {text for request in server.requests if "embeddings" in request.path for text in request.body["input"]}
    assert any(new in text for text in asked)
    assert not [text for text in asked for said in conversation if str(said["content"]) in text]


async def test_what_the_vectors_cost_is_in_the_report(memory: AsyncMemory, conversation: list[dict[str, Any]]) -> None:
    await memory.user("ana").memorize(conversation)
    report = await memory.operate(o.ReportCosts())
    (cost,) = report.costs
    assert (cost.task, cost.model, cost.tokens_out) == ("embed", "scripted-embedding", 0)
    assert cost.dollars == pytest.approx(cost.tokens_in * 0.02 / 1_000_000, abs=1e-6)


async def test_a_memory_that_has_vectors_keeps_them_until_it_is_embedded_again(
    tmp_path: Path, server: ScriptedLLM, conversation: list[dict[str, Any]]
) -> None:
    async with await AsyncMemory.open(tmp_path / "memory") as local:
        await local.user("ana").memorize(conversation)
    async with await AsyncMemory.open(tmp_path / "memory", settings=settings(tmp_path, server)) as memory:
        assert (await memory.user("ana").retrieve("hiking in the Alps?")).items
        done = await memory.operate(o.Reembed(model="endpoint:scripted-embedding"))
        assert done.space == "scripted-embedding@96"
        assert (await memory.user("ana").retrieve("hiking in the Alps?")).items[0].signals["vector"] > 0
    with pytest.raises(InvalidInput, match="MEMSTREAM_EMBEDDING_MODEL=scripted-embedding"):
        await AsyncMemory.open(tmp_path / "memory")
