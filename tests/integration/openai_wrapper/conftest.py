"""Fixtures: a scripted model server, clients of it, and memories whose users nobody else is."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from openai import AsyncOpenAI, OpenAI
from scripted_llm import ScriptedLLM

from memstream import AsyncMemory, Memory
from memstream.openai import MemoryOpenAI, wrap


@pytest.fixture(scope="module")
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as running:
        yield running


@pytest.fixture(autouse=True)
def anew(llm: ScriptedLLM) -> None:
    llm.forget()
    llm.answer("I see.")


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory.open(tmp_path_factory.mktemp("memory")) as opened:
        yield opened


@pytest.fixture
def user() -> str:
    """Return a user that nobody else uses."""
    return f"user {uuid4()}"


@pytest.fixture
def plain(llm: ScriptedLLM) -> Iterator[OpenAI]:
    with OpenAI(base_url=llm.url, api_key="key", max_retries=0, timeout=20) as opened:
        yield opened


@pytest.fixture
def client(plain: OpenAI, memory: Memory, user: str) -> MemoryOpenAI:
    return wrap(plain, memory=memory, user=user)


@pytest.fixture(scope="module")
async def reached(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(tmp_path_factory.mktemp("reached")) as opened:
        yield opened


@pytest.fixture
async def async_plain(llm: ScriptedLLM) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=llm.url, api_key="key", max_retries=0, timeout=20) as opened:
        yield opened
