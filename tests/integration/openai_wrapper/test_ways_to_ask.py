"""Every way in which a client asks a model has memory: responses, streams, helpers, raw answers."""

from typing import Any

import openai
from chatting import FACT, QUESTION, chat, counted, settled
from openai import OpenAI
from openai.types.chat import ChatCompletion
from pydantic import BaseModel
from scripted_llm import Reply, ScriptedLLM, ToolCall

from memstream import Memory
from memstream.openai import MemoryOpenAI


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


def test_an_answer_that_the_caller_has_yet_to_read_gets_memory_and_the_users_side_is_memorized(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    chat(client, FACT)
    settled(client, memory, user)
    messages: Any = [{"role": "user", "content": QUESTION}]
    with client.chat.completions.with_streaming_response.create(model="m", messages=messages) as unread:
        assert unread.parse().choices[0].message.content == "I see."
    raw = client.responses.with_raw_response.create(model="m", input=QUESTION, stream=True)
    assert [event.type for event in raw.parse()][-1] == "response.completed"
    assert all(FACT in request.text for request in llm.requests[1:])
    settled(client, memory, user)
    assert counted(memory, user, "resource.ingested") == 3
    assert dict(client.memory.failures) == {}
