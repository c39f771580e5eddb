"""``AsyncOpenAI`` clients remember as others do."""

from typing import Any

import openai
import pytest
from chatting import FACT, QUESTION
from openai import AsyncOpenAI, OpenAI
from scripted_llm import Dropped, ScriptedLLM

from memstream import AsyncMemory, Memory
from memstream.events.errors import InvalidInput
from memstream.openai import wrap


async def test_an_asyncio_client_remembers_answers_and_streams(
    llm: ScriptedLLM, async_plain: AsyncOpenAI, reached: AsyncMemory, user: str
) -> None:
    client = wrap(async_plain, memory=reached, user=user)
    mine = reached.user(user)
    messages: Any = [{"role": "user", "content": FACT}]
    await client.chat.completions.create(model="m", messages=messages)
    await client.memory.flush(20)
    await mine.settle()
    assert [item.text for item in await mine.items()] == [FACT]
    llm.answer("You moved to Lisbon.")
    asked: Any = [{"role": "user", "content": QUESTION}]
    stream = await client.chat.completions.create(model="m", messages=asked, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "You moved to Lisbon."
    response = await client.responses.create(model="m", input=QUESTION)
    events = await client.responses.create(model="m", input=QUESTION, stream=True)
    async with events:
        assert (await anext(events)).type == "response.created"
    async with client.chat.completions.stream(model="m", messages=asked) as helped:
        assert (await helped.get_final_completion()).choices[0].message.content == response.output_text
    await client.memory.flush(20)
    assert all(FACT in request.text for request in llm.requests[1:])
    counts = (await mine.status()).events
    assert (counts["resource.ingested"], counts["feedback.given"]) == (5, 3)
    assert dict(client.memory.failures) == {}


async def test_an_asyncio_stream_that_is_left_or_dropped_ends_like_any_other(
    llm: ScriptedLLM, async_plain: AsyncOpenAI, reached: AsyncMemory, user: str
) -> None:
    client = wrap(async_plain, memory=reached, user=user)
    messages: Any = [{"role": "user", "content": FACT}]
    llm.queue(Dropped(pieces=2))
    with pytest.raises(openai.APIConnectionError):
        async for _ in await client.chat.completions.create(model="m", messages=messages, stream=True):
            pass
    async with await client.chat.completions.create(model="m", messages=messages, stream=True) as stream:
        async for _ in stream:
            break
    await client.memory.flush(20)
    assert (await reached.user(user).status()).events["resource.ingested"] == 1


async def test_an_asyncio_client_may_share_the_memory_of_a_thread(
    llm: ScriptedLLM, async_plain: AsyncOpenAI, memory: Memory, user: str
) -> None:
    client = wrap(async_plain, memory=memory, user=user)
    messages: Any = [{"role": "user", "content": FACT}]
    await client.chat.completions.create(model="m", messages=messages)
    await client.memory.flush(20)
    memory.user(user).settle()
    await client.with_memory(session="s3").responses.create(model="m", input=QUESTION)
    assert FACT in llm.requests[-1].text


def test_a_client_without_asyncio_does_not_take_a_memory_with_it(plain: OpenAI, reached: AsyncMemory) -> None:
    with pytest.raises(InvalidInput, match="takes a Memory"):
        wrap(plain, memory=reached, user="ana")  # type: ignore[call-overload]  # refused, types or not
