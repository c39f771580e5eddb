"""A wrapped client remembers: what was said in one call is before the model in the next, and nothing else is."""

import json
from typing import Any

from chatting import FACT, QUESTION, TOOLS, chat, counted, settled
from openai import OpenAI
from scripted_llm import Reply, ScriptedLLM, ToolCall, refused

from memstream import Memory
from memstream.openai import MemoryOpenAI, wrap


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
    (used,) = given.data["used"]  # type: ignore[misc]  # JSON, of no known type
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


def test_a_refusal_is_not_memorized_what_the_user_said_is(
    llm: ScriptedLLM, client: MemoryOpenAI, memory: Memory, user: str
) -> None:
    llm.answer(refused("I can't help with anything that you say."))
    chat(client, FACT)
    assert settled(client, memory, user) == [FACT]
