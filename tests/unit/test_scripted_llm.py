"""The scripted model answers as an OpenAI-compatible server does, and misbehaves on demand."""

import asyncio
import base64
import json
from array import array
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from scripted_llm import (
    Dropped,
    Reply,
    Request,
    ScriptedLLM,
    ToolCall,
    Vectors,
    empty,
    filtered,
    rate_limited,
    refused,
    server_error,
    truncated,
    vector,
)

ASK: list[Any] = [{"role": "user", "content": "Where does Ana live? Answer in JSON."}]
SCHEMA: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}}


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as running:
        yield running


@pytest.fixture
def client(llm: ScriptedLLM) -> Iterator[OpenAI]:
    with OpenAI(base_url=llm.url, api_key="key", max_retries=0, timeout=10) as opened:
        yield opened


def said(client: OpenAI, **options: Any) -> str | None:
    """Return what a chat completion says."""
    return client.chat.completions.create(model="scripted", messages=ASK, **options).choices[0].message.content


def decoded(embedding: Any) -> list[float]:
    """Return a vector; whoever asks for base64 gets it as it is."""
    return list(array("f", base64.b64decode(embedding))) if isinstance(embedding, str) else embedding


def test_an_answer_is_a_text_a_value_or_what_a_function_makes_of_the_request(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.answer("In Lisbon.")
    assert said(client) == "In Lisbon."
    llm.answer({"city": "Lisbon"})
    assert json.loads(said(client) or "") == {"city": "Lisbon"}
    llm.answer(lambda request: f"You said: {request.messages[-1]['content']}")
    assert said(client) == f"You said: {ASK[0]['content']}"


def test_queued_answers_come_first_and_in_turn(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.answer("later")
    llm.queue("one", "two")
    assert [said(client) for _ in range(3)] == ["one", "two", "later"]


def test_every_request_is_recorded_with_its_body_and_headers(llm: ScriptedLLM, client: OpenAI) -> None:
    said(client, temperature=0.5, extra_headers={"X-Trace": "t1"})
    (request,) = llm.asked("chat/completions")
    assert (request.model, request.body["temperature"], request.headers["x-trace"]) == ("scripted", 0.5, "t1")
    assert request.messages == ASK


def test_tokens_are_counted(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.answer("x" * 40)
    usage = client.chat.completions.create(model="scripted", messages=ASK).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (9, 10, 19)


def test_a_streamed_chat_completion_says_the_same_in_pieces_and_counts_at_its_end(
    llm: ScriptedLLM, client: OpenAI
) -> None:
    llm.answer("In the old town of Lisbon.")
    stream = client.chat.completions.create(
        model="scripted", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "In the old town of Lisbon."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert [c.usage is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]


def test_tool_calls_come_whole_and_streamed(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.answer(Reply(None, tool_calls=(ToolCall("find", '{"city": "Lisbon"}'),)))
    choice = client.chat.completions.create(model="scripted", messages=ASK).choices[0]
    assert choice.finish_reason == "tool_calls"
    with client.chat.completions.stream(model="scripted", messages=ASK) as stream:
        streamed = stream.get_final_completion().choices[0]
    for message in (choice.message, streamed.message):
        (call,) = list(message.tool_calls or [])
        assert call.type == "function"
        assert (call.function.name, call.function.arguments) == ("find", '{"city": "Lisbon"}')


def test_a_response_has_its_text_and_its_usage(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.answer("In Lisbon.")
    response = client.responses.create(model="scripted", input="Where?", instructions="Be brief.")
    assert (response.output_text, response.status) == ("In Lisbon.", "completed")
    assert response.usage is not None
    assert response.usage.output_tokens == 3
    assert llm.requests[0].text == "Be brief.\nWhere?"


@pytest.mark.parametrize(
    "reply",
    [Reply("In Lisbon, by the river."), refused("No."), Reply("", tool_calls=(ToolCall("find", '{"a": 1}'),))],
    ids=["text", "refusal", "function call"],
)
def test_a_streamed_response_ends_with_the_body_that_it_built(llm: ScriptedLLM, client: OpenAI, reply: Reply) -> None:
    llm.answer(reply)
    whole = client.responses.create(model="scripted", input="Where?")
    with client.responses.stream(model="scripted", input="Where?") as stream:
        streamed = stream.get_final_response()
    assert [item.type for item in streamed.output] == [item.type for item in whole.output]
    assert streamed.output_text == whole.output_text == (reply.content or "")


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings_are_the_same_in_every_encoding(llm: ScriptedLLM, client: OpenAI, encoding: Any) -> None:
    options = {} if encoding is None else {"encoding_format": encoding}
    answer = client.embeddings.create(
        model="e", input=["a hike in the Alps", "a walk in the Alps", "tax law"], **options
    )
    first, near, far = (decoded(one.embedding) for one in answer.data)
    assert first == pytest.approx(vector("a hike in the Alps", 64), abs=1e-6)
    dot = [sum(a * b for a, b in zip(first, other, strict=True)) for other in (near, far)]
    assert dot[0] > dot[1]


def test_embeddings_have_the_dimension_that_is_set_asked_for_or_wrong(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.dimension = 32
    llm.queue_embeddings(Vectors(), Vectors(), Vectors(dimension=7), Vectors(missing=1))
    asked: list[Any] = [{}, {"dimensions": 16}, {"dimensions": 16}, {}]
    answers = [client.embeddings.create(model="e", input=["a", "b"], **options).data for options in asked]
    assert [(len(data), len(data[0].embedding)) for data in answers] == [(2, 32), (2, 16), (2, 7), (1, 32)]


def test_too_many_texts_in_one_request_are_refused(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.max_inputs = 2
    with pytest.raises(openai.BadRequestError, match="at most 2 texts"):
        client.embeddings.create(model="e", input=["a", "b", "c"])


def test_a_rate_limit_says_when_to_come_back(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.queue(rate_limited(3))
    with pytest.raises(openai.RateLimitError) as raised:
        said(client)
    assert raised.value.response.headers["retry-after"] == "3"
    assert raised.value.code == "rate_limit_exceeded"


def test_a_client_that_retries_gets_the_answer_behind_the_fault(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.queue(rate_limited(0.01), "at last")
    assert said(client.with_options(max_retries=1)) == "at last"


def test_a_server_error_has_its_status(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.queue(server_error(503))
    with pytest.raises(openai.InternalServerError) as raised:
        said(client)
    assert raised.value.status_code == 503


def test_only_the_right_key_is_let_in(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.api_key = "another"
    for call in (lambda: said(client), client.models.list):
        with pytest.raises(openai.AuthenticationError):
            call()
    assert [model.id for model in client.with_options(api_key="another").models.list()] == list(llm.models)


def test_a_connection_is_dropped_in_the_middle_of_an_answer(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.answer(Dropped(pieces=3))
    with pytest.raises(openai.APIConnectionError):
        said(client)
    got: list[Any] = []
    with pytest.raises(openai.APIConnectionError):
        got.extend(client.chat.completions.create(model="scripted", messages=ASK, stream=True))
    with pytest.raises(openai.APIConnectionError):
        got.extend(client.responses.create(model="scripted", input="Where?", stream=True))


def test_an_answer_that_takes_too_long_runs_into_the_timeout(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.queue(Reply("late", delay=5))
    with pytest.raises(openai.APITimeoutError):
        said(client, timeout=0.1)


def test_a_truncated_a_refused_an_empty_and_a_filtered_answer_are_told_apart(llm: ScriptedLLM, client: OpenAI) -> None:
    llm.queue(truncated({"items": ["a", "b"]}), refused("No."), empty(), filtered())
    choices = [client.chat.completions.create(model="scripted", messages=ASK).choices[0] for _ in range(4)]
    assert [choice.finish_reason for choice in choices] == ["length", "stop", "stop", "content_filter"]
    assert [choice.message.content for choice in choices] == ['{"items": ', None, "", ""]
    assert choices[1].message.refusal == "No."


@pytest.mark.parametrize(
    ("structured", "accepted"),
    [("json_schema", ["json_schema", "json_object"]), ("json_object", ["json_object"]), ("none", [])],
)
def test_structured_output_is_accepted_as_far_as_the_server_knows_it(
    llm: ScriptedLLM, client: OpenAI, structured: Any, accepted: list[str]
) -> None:
    llm.structured = structured
    llm.answer({})
    for wanted in (SCHEMA, {"type": "json_object"}):
        if wanted["type"] in accepted:
            assert said(client, response_format=wanted) == "{}"
        else:
            with pytest.raises(openai.BadRequestError, match=wanted["type"]):
                said(client, response_format=wanted)


def test_json_mode_wants_the_word_json_in_the_prompt(llm: ScriptedLLM, client: OpenAI) -> None:
    quiet: list[Any] = [{"role": "user", "content": "Where?"}]
    with pytest.raises(openai.BadRequestError, match="the word 'json'"):
        client.chat.completions.create(model="scripted", messages=quiet, response_format={"type": "json_object"})


async def test_requests_at_one_time_are_served_at_one_time_and_counted(llm: ScriptedLLM) -> None:
    together = asyncio.Event()
    loop = asyncio.get_running_loop()

    def counted(request: Request) -> Reply:
        if request.concurrent == 4:
            loop.call_soon_threadsafe(together.set)
        return Reply("done", delay=0.5)

    llm.answer(counted)
    async with AsyncOpenAI(base_url=llm.url, api_key="key", max_retries=0) as client:
        calls = [client.chat.completions.create(model="scripted", messages=ASK) for _ in range(4)]
        await asyncio.gather(*calls, together.wait())
    assert llm.max_concurrent == 4
