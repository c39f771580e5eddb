"""A wrapped OpenAI client remembers: a real client, a model server of ours, a real memory."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import openai
import pytest
from gateways import serving
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion
from pydantic import BaseModel
from scripted_llm import Dropped, Reply, ScriptedLLM, ToolCall, refused
from waiting import until_now

from memstream import AsyncMemory, Memory
from memstream.events.errors import InvalidInput, InvalidScope, ModelRequired, Unavailable
from memstream.openai import MemoryOpenAI, wrap

FACT = "I moved to Lisbon last spring, into a flat above a bakery."
QUESTION = "Which city did I move to last spring?"
# Takes a while to write.
LONG = "It rained. " * 200_000
TOOLS: list[Any] = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}]


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


def chat(client: OpenAI, *said: str, **options: Any) -> Any:
    """Call the model with user messages."""
    messages: list[Any] = [{"role": "user", "content": text} for text in said]
    return client.chat.completions.create(model="m", messages=messages, **options)


def settled(client: MemoryOpenAI, memory: Memory, user: str) -> list[str]:
    """Wait until everything said is memory; return the items' texts."""
    client.memory.flush(20)
    memory.user(user).settle()
    return [item.text for item in memory.user(user).items()]


def counted(memory: Memory, user: str, event: str) -> int:
    return memory.user(user).status().events.get(event, 0)


def test_what_was_said_in_one_conversation_is_known_in_the_next(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    assert chat(client, FACT).choices[0].message.content == "I see."
    assert settled(client, memory, user) == [FACT]
    chat(client, QUESTION)
    assert llm.requests[0].messages == [{"role": "user", "content": FACT}]
    system, asked = llm.requests[1].messages
    assert FACT in system["content"]
    assert "not instructions" in system["content"]
    assert asked == {"role": "user", "content": QUESTION}


def test_with_nothing_to_recall_the_request_is_the_callers_own(llm: ScriptedLLM, client: MemoryOpenAI) -> None:
    chat(client, "Hello there!")
    assert llm.requests[0].messages == [{"role": "user", "content": "Hello there!"}]


def test_the_clients_type_its_other_calls_and_the_original_stay_as_they_are(
    llm: ScriptedLLM, plain: OpenAI, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    chat(client, FACT)
    settled(client, memory, user)
    assert isinstance(client, OpenAI)
    assert client.base_url == plain.base_url
    assert len(client.embeddings.create(model="e", input="a").data[0].embedding) == llm.dimension
    assert [model.id for model in client.models.list()] == list(llm.models)
    llm.forget()
    chat(plain, QUESTION)
    assert llm.requests[0].messages == [{"role": "user", "content": QUESTION}]


def test_parameters_pass_through_and_the_callers_messages_are_not_changed(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    chat(client, FACT)
    settled(client, memory, user)
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    before = json.dumps(messages)
    client.chat.completions.create(
        model="m", messages=iter(messages), tools=TOOLS, temperature=0.3, user="u1", extra_body={"own": 1}
    )
    body = llm.requests[-1].body
    assert (body["tools"], body["temperature"], body["user"], body["own"]) == (TOOLS, 0.3, "u1", 1)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][0]["content"].startswith("Be brief.\n\n")
    assert FACT in body["messages"][0]["content"]
    assert json.dumps(messages) == before


def test_recalled_text_is_not_memorized_again_however_often_it_is_recalled(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    chat(client, FACT)
    settled(client, memory, user)
    llm.answer(f"You told me: {FACT}")
    for _ in range(3):
        chat(client, QUESTION)
        items = settled(client, memory, user)
    assert [text for text in items if "Lisbon" in text] == [FACT]
    (item,) = [one for one in memory.user(user).items() if one.text == FACT]
    assert len(item.sources) == 1


def test_only_the_new_turns_of_a_growing_conversation_are_memorized(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    messages: list[Any] = []
    for text in (FACT, "My sister Mia plays the cello in an orchestra.", "We hike in the Alps each summer."):
        messages.append({"role": "user", "content": text})
        messages.append(client.chat.completions.create(model="m", messages=messages).choices[0].message)
    settled(client, memory, user)
    segments = [segment for one in memory.user(user).resources() for segment in memory.user(user).segments(one.id)]
    said = "\n".join(segment.text for segment in segments)
    assert [said.count(word) for word in ("Lisbon", "cello", "Alps")] == [1, 1, 1]


def test_the_items_that_an_answer_used_are_fed_back(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    chat(client, FACT, "I bake sourdough bread on weekends.")
    settled(client, memory, user)
    llm.answer("You moved to Lisbon.")
    chat(client, QUESTION)
    settled(client, memory, user)
    (given,) = memory.user(user).events(types=["feedback.given"])
    (used,) = given.data["used"]  # type: ignore[misc]
    assert memory.user(user).item(str(used)).text == FACT


def test_asked_to_cite_the_model_reads_ids_and_what_it_cites_is_fed_back(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory, user: str
) -> None:
    client = wrap(plain, memory=memory, user=user, cite=True)
    chat(client, FACT)
    settled(client, memory, user)
    (item,) = memory.user(user).items()
    llm.answer(lambda request: f"There [^{request.text.partition(f'{FACT} [^')[2].partition(']')[0]}].")
    chat(client, QUESTION)
    settled(client, memory, user)
    (given,) = memory.user(user).events(types=["feedback.given"])
    assert given.data["used"] == [item.id]


def test_a_stream_is_the_models_own_chunk_by_chunk_and_is_memorized_at_its_end(
    llm: ScriptedLLM, plain: OpenAI, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    llm.answer("Your sister Mia plays the cello in an orchestra.")
    expected = [chunk.choices[0].delta for chunk in chat(plain, FACT, stream=True)]
    with chat(client, FACT, stream=True) as stream:
        assert isinstance(stream, openai.Stream)
        assert stream.response.status_code == 200
        assert [chunk.choices[0].delta for chunk in stream] == expected
    assert len(settled(client, memory, user)) == 2
    assert counted(memory, user, "resource.ingested") == 1


def test_a_stream_that_the_caller_leaves_is_memorized_as_far_as_it_came(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    for chunk in chat(client, FACT, stream=True):
        assert chunk.choices
        break
    assert settled(client, memory, user) == [FACT]


def test_a_call_that_fails_is_not_memorized(llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str) -> None:
    llm.answer(Dropped(pieces=3))
    with pytest.raises(openai.APIConnectionError):
        chat(client, FACT)
    with pytest.raises(openai.APIConnectionError), chat(client, FACT, stream=True) as stream:
        list(stream)
    assert settled(client, memory, user) == []
    assert counted(memory, user, "resource.ingested") == 0


def test_the_stream_helper_and_parsed_answers_remember_too(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    class City(BaseModel):
        city: str

    chat(client, FACT)
    settled(client, memory, user)
    llm.answer({"city": "Lisbon"})
    messages: Any = [{"role": "user", "content": QUESTION}]
    with client.chat.completions.stream(model="m", messages=messages, response_format=City) as stream:
        streamed = stream.get_final_completion().choices[0].message.parsed
    parsed = client.chat.completions.parse(model="m", messages=messages, response_format=City).choices[0].message.parsed
    answered = client.responses.parse(model="m", input=QUESTION, text_format=City).output_parsed
    assert streamed == parsed == answered == City(city="Lisbon")
    assert all(FACT in request.text for request in llm.requests[1:])
    settled(client, memory, user)
    assert counted(memory, user, "resource.ingested") == 4


def test_a_raw_response_is_memorized_like_any_other(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    raw = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": FACT}])
    assert raw.headers["content-type"] == "application/json"
    assert isinstance(raw.parse(), ChatCompletion)
    settled(client, memory, user)
    raw_again = client.with_raw_response.chat.completions.create(
        model="m", messages=[{"role": "user", "content": QUESTION}]
    )
    assert raw_again.parse().choices[0].message.content == "I see."
    assert FACT in llm.requests[-1].text


def test_responses_get_memory_in_their_instructions_of_this_call(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    client.responses.create(model="m", input=FACT)
    assert settled(client, memory, user) == [FACT]
    answer = client.responses.create(model="m", input=QUESTION, instructions="Be brief.")
    assert answer.output_text == "I see."
    body = llm.requests[-1].body
    assert body["instructions"].startswith("Be brief.\n\n")
    assert FACT in body["instructions"]
    assert body["input"] == QUESTION


def test_a_streamed_response_is_the_models_own_event_by_event(
    llm: ScriptedLLM, plain: OpenAI, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    llm.answer("Your sister Mia plays the cello in an orchestra.")
    kinds = [event.type for event in plain.responses.create(model="m", input=FACT, stream=True)]
    stream = client.responses.create(model="m", input=FACT, stream=True)
    assert [event.type for event in stream] == kinds
    assert any("cello" in text for text in settled(client, memory, user))


def test_a_tool_loop_asks_memory_once_and_memorizes_each_turn_once(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    chat(client, FACT)
    settled(client, memory, user)
    llm.queue(Reply(None, tool_calls=(ToolCall("lookup"),)), "You moved to Lisbon.")
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    asked = client.chat.completions.create(model="m", messages=messages, tools=TOOLS).choices[0].message
    messages += [asked, {"role": "tool", "tool_call_id": "call_1", "content": "nothing"}]
    client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
    settled(client, memory, user)
    assert all(FACT in request.text for request in llm.requests[1:])
    assert counted(memory, user, "retrieval.served") == 2
    assert counted(memory, user, "feedback.given") == 1
    segments = [segment for one in memory.user(user).resources() for segment in memory.user(user).segments(one.id)]
    assert sum(segment.text.count(QUESTION) for segment in segments) == 1


def test_a_response_that_goes_on_from_a_function_call_keeps_its_memory(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    chat(client, FACT)
    settled(client, memory, user)
    llm.queue(Reply("", tool_calls=(ToolCall("lookup"),)))
    first = client.responses.create(model="m", input=QUESTION)
    output: Any = [{"type": "function_call_output", "call_id": "call_1", "output": "nothing"}]
    client.responses.create(model="m", input=output, previous_response_id=first.id)
    assert FACT in llm.requests[-1].body["instructions"]
    assert counted(memory, user, "retrieval.served") == 2


def test_a_refusal_is_not_memorized_what_the_user_said_is(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    llm.answer(refused("I can't help with anything that you say."))
    chat(client, FACT)
    assert settled(client, memory, user) == [FACT]


def test_each_call_may_be_another_users_and_users_are_walls(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory, user: str
) -> None:
    client = wrap(plain, memory=memory)
    chat(client, FACT, memory_user=user, memory_session="s1")
    chat(client.with_memory(user=f"{user} 2"), "I live in Oslo.")
    assert settled(client, memory, user) == [FACT]
    assert settled(client, memory, f"{user} 2") == ["I live in Oslo."]
    assert memory.user(user).resources()[0].session == "s1"
    chat(client, QUESTION, memory_user=f"{user} 2")
    assert FACT not in llm.requests[-1].text
    assert not {"memory_user", "memory_session"} & llm.requests[0].body.keys()


def test_a_function_may_say_whose_memory_it_is(plain: OpenAI, memory: Memory, user: str) -> None:
    names = iter([user])
    client = wrap(plain, memory=memory, user=lambda: next(names), session=lambda: "s2")
    chat(client, FACT)
    assert settled(client, memory, user) == [FACT]
    assert memory.user(user).resources()[0].session == "s2"


def test_a_copy_with_options_remembers_too(llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str) -> None:
    copied = client.with_options(max_retries=1, default_headers={"X-Own": "1"})
    chat(copied, FACT)
    assert settled(client, memory, user) == [FACT]
    assert llm.requests[0].headers["x-own"] == "1"


def test_exchanges_that_gather_are_one_conversation_of_their_session(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory, user: str
) -> None:
    client = wrap(plain, memory=memory, user=user, session="s1", gather=2)
    other = client.with_memory(session="s2")
    for each, text in ((client, FACT), (other, "I live in Oslo."), (client, "My sister is Mia.")):
        chat(each, text)
    until_now(lambda: counted(memory, user, "resource.ingested") == 1)
    client.memory.flush(20)
    memory.user(user).settle()
    first, second = memory.user(user).resources()
    assert (first.session, second.session) == ("s1", "s2")
    said = "".join(segment.text for segment in memory.user(user).segments(first.id))
    assert FACT in said
    assert "Mia" in said


def test_exchanges_that_gather_do_not_wait_longer_than_their_session_is_idle(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory, user: str
) -> None:
    chat(wrap(plain, memory=memory, user=user, gather=9, idle=0.05), FACT)
    until_now(lambda: counted(memory, user, "resource.ingested") == 1)


def test_reading_alone_memorizes_nothing(plain: OpenAI, memory: Memory, user: str) -> None:
    client = wrap(plain, memory=memory, user=user, memorize=False)
    chat(client, FACT)
    assert settled(client, memory, user) == []


def test_nobodys_memory_and_impossible_users_are_refused_before_the_model_is_asked(
    llm: ScriptedLLM, plain: OpenAI, memory: Memory
) -> None:
    client = wrap(plain, memory=memory)
    with pytest.raises(InvalidInput, match="memory_user="):
        chat(client, FACT)
    with pytest.raises(InvalidScope):
        chat(client, FACT, memory_user=" ")
    assert llm.requests == []


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 0},
        {"gather": 0},
        {"idle": 0},
        {"max_tokens": 1},
        {"method": "guess"},
        {"timeout": 0},
        {"on_error": "hide"},
        {"memory": "data"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_that_cannot_work_are_refused_at_once(plain: OpenAI, memory: Memory, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        wrap(plain, **{"memory": memory, "user": "ana", **options})


def test_what_cannot_be_wrapped_is_said(plain: OpenAI, client: MemoryOpenAI, memory: Memory) -> None:
    with pytest.raises(InvalidInput, match="with_memory"):
        wrap(client, memory=memory, user="ana")
    with pytest.raises(InvalidInput, match="got str"):
        wrap("client", memory=memory, user="ana")  # type: ignore[call-overload]


class OwnOpenAI(OpenAI):
    """A client class of somebody else's."""

    def greet(self) -> str:
        return "hello"


def test_a_client_of_ones_own_class_stays_one(llm: ScriptedLLM, memory: Memory, user: str) -> None:
    with OwnOpenAI(base_url=llm.url, api_key="key", max_retries=0) as own:
        client = wrap(own, memory=memory, user=user)
        assert isinstance(client, OwnOpenAI)
        assert client.greet() == "hello"
        chat(client, FACT)
        assert settled(client, memory, user) == [FACT]


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


def test_a_closed_memory_does_not_keep_the_model_from_answering(plain: OpenAI, tmp_path: Path, user: str) -> None:
    with Memory.open(tmp_path / "own") as opened:
        client = wrap(plain, memory=opened, user=user)
    assert chat(client, FACT).choices[0].message.content == "I see."
    assert dict(client.memory.failures) == {"retrieve": 1, "memorize": 1}
    client.memory.flush()


@pytest.fixture(scope="module")
async def reached(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncMemory]:
    async with await AsyncMemory.open(tmp_path_factory.mktemp("reached")) as opened:
        yield opened


@pytest.fixture
async def async_plain(llm: ScriptedLLM) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=llm.url, api_key="key", max_retries=0, timeout=20) as opened:
        yield opened


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
        wrap(plain, memory=reached, user="ana")  # type: ignore[call-overload]


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
