"""Nothing is lost when a memory closes or a script ends; and no failing memory keeps the model from answering."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from chatting import FACT, LONG, chat, counted, settled
from gateways import serving
from openai import AsyncOpenAI, OpenAI
from scripted_llm import Dropped, Request, ScriptedLLM

from memstream import AsyncMemory, Memory
from memstream.events.errors import ModelRequired, Unavailable
from memstream.openai import MemoryOpenAI, wrap


def test_a_call_that_fails_is_not_memorized(llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str) -> None:
    llm.answer(Dropped(pieces=3))
    with pytest.raises(openai.APIConnectionError):
        chat(client, FACT)
    with pytest.raises(openai.APIConnectionError), chat(client, FACT, stream=True) as stream:
        list(stream)
    assert settled(client, memory, user) == []
    assert counted(memory, user, "resource.ingested") == 0


def test_memory_that_takes_too_long_does_not_keep_the_model_from_answering(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = wrap(plain, memory=memory, user=user, timeout=1e-9)
    with caplog.at_level(logging.WARNING, "memstream.openai"):
        answers = [chat(client, FACT).choices[0].message.content for _ in range(3)]
    assert answers == ["I see."] * 3
    assert client.memory.failures["retrieve"] == 3
    assert len([record for record in caplog.records if "timeout=" in record.message]) == 1


def test_memory_that_cannot_read_with_a_model_says_so_when_errors_are_raised(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory, user: str
) -> None:
    with pytest.raises(ModelRequired):
        chat(wrap(plain, memory=memory, user=user, method="llm", on_error="raise"), FACT)
    assert chat(wrap(plain, memory=memory, user=user, method="llm"), FACT).choices[0].message.content == "I see."


def test_a_memory_that_closes_waits_for_what_was_just_said(plain: OpenAI, tmp_path: Path, user: str) -> None:
    with Memory.open(tmp_path / "own") as opened:
        chat(wrap(plain, memory=opened, user=user), LONG)
        chat(wrap(plain, memory=opened, user=user, session="s1", gather=9), FACT)
    with Memory.open(tmp_path / "own") as again:
        assert counted(again, user, "resource.ingested") == 2


def test_an_error_from_the_background_is_raised_by_flush_when_asked_for(
    llm: ScriptedLLM, plain: OpenAI, tmp_path: Path, user: str
) -> None:
    with Memory.open(tmp_path / "own") as opened:
        client = wrap(plain, memory=opened, user=user, on_error="raise")

        def closing(_: Request) -> str:
            opened.close()
            return "I see."

        llm.answer(closing)
        assert chat(client, FACT).choices[0].message.content == "I see."
    with pytest.raises(Unavailable, match="closed"):
        client.memory.flush()
    client.memory.flush()


def test_a_closed_memory_does_not_keep_the_model_from_answering(plain: OpenAI, tmp_path: Path, user: str) -> None:
    with Memory.open(tmp_path / "own") as opened:
        client = wrap(plain, memory=opened, user=user)
    assert chat(client, FACT).choices[0].message.content == "I see."
    assert dict(client.memory.failures) == {"retrieve": 1, "memorize": 1}
    client.memory.flush()


SCRIPT = """
import sys
from openai import OpenAI
from memstream import Memory
from memstream.openai import wrap

client = wrap(OpenAI(base_url=sys.argv[1], api_key="key"), memory=Memory.connect(sys.argv[2]), user=sys.argv[3])
client.chat.completions.create(model="m", messages=[{"role": "user", "content": "It rained. " * 200_000}])
"""


async def test_a_script_that_ends_behind_its_last_call_has_memorized_it(
    llm: ScriptedLLM, tmp_path: Path, user: str
) -> None:
    async with serving(tmp_path / "service") as (_, url), await AsyncMemory.connect(url) as memory:
        script = [sys.executable, "-c", SCRIPT, llm.url, url, user]
        done = await asyncio.to_thread(subprocess.run, script, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert (await memory.user(user).status()).events["resource.ingested"] == 1


async def test_a_service_that_went_away_does_not_keep_the_model_from_answering_and_is_logged_once(
    llm: ScriptedLLM, async_plain: AsyncOpenAI, tmp_path: Path, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path / "service") as (_, url):
        memory = await AsyncMemory.connect(url)
    async with memory:
        client = wrap(async_plain, memory=memory, user=user)
        strict = wrap(async_plain, memory=memory, user=user, on_error="raise")
        messages: Any = [{"role": "user", "content": FACT}]
        with caplog.at_level(logging.WARNING, "memstream.openai"):
            for _ in range(3):
                answer = await client.chat.completions.create(model="m", messages=messages)
                assert answer.choices[0].message.content == "I see."
            await client.memory.flush(20)
        assert dict(client.memory.failures) == {"retrieve": 3, "memorize": 3}
        assert [record.message.split(" failed")[0] for record in caplog.records] == ["retrieve", "memorize"]
        with pytest.raises(Unavailable):
            await strict.chat.completions.create(model="m", messages=messages)
