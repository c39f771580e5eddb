"""The wrapper's rules: what a caller said, how memory is put before a model, which items an answer used."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage

from memstream.events.payloads import Usage
from memstream.projections.models import ItemHit
from memstream.services.openai.injection import into_instructions, into_messages, memory_block
from memstream.services.openai.turns import asked_in
from memstream.services.openai.usage import used_ids
from memstream.services.reads import Retrieved

CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}],
}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def found(query: str, *texts: str, happened: datetime | None = None) -> Retrieved:
    """Return a retrieval that served these items, with ids i1, i2, …."""
    hits = tuple(
        ItemHit(
            id=f"i{number}", text=text, kind="event", speaker="Ana", happened=happened, sources=(), categories=(),
            score=1.0, rank=number, signals={},
        )
        for number, text in enumerate(texts, start=1)
    )  # fmt: skip
    return Retrieved(
        retrieval_id="r", needs_retrieval=True, original_query=query, rewritten_query=query, next_step_query=None,
        categories=(), items=hits, resources=(), context="", sufficient_at="item", as_of=1, usage=Usage(),
    )  # fmt: skip


def test_the_question_is_what_the_user_said_last_and_new_is_what_stands_behind_the_last_answer() -> None:
    asked = asked_in([user("Hi"), {"role": "assistant", "content": "Hello"}, user("I moved."), user("Where to?")])
    assert asked.question == "I moved.\nWhere to?"
    assert [turn.content for turn in asked.new] == ["I moved.", "Where to?"]
    assert [turn.content for turn in asked.history] == ["Hi", "Hello"]
    assert not asked.continues


def test_behind_a_tool_call_nothing_is_new_and_the_question_stays() -> None:
    first = asked_in([user("Weather?")])
    asked = asked_in([user("Weather?"), CALL, {"role": "tool", "tool_call_id": "1", "content": "Sunny"}])
    assert (asked.question, asked.new, asked.continues, asked.key) == ("Weather?", (), True, first.key)


def test_responses_items_are_read_like_messages() -> None:
    items: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}, {"type": "input_image"}]},
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "1"},
        {"type": "function_call_output", "call_id": "1", "output": "Sunny"},
    ]
    assert asked_in(items[:1]).new[0].content == "Weather?"
    assert asked_in(items).new == ()
    assert asked_in("Weather?").key == asked_in(items).key


def test_the_packages_own_message_objects_are_read_too() -> None:
    said = ChatCompletionMessage(role="assistant", content="Hello")
    assert [turn.content for turn in asked_in([user("Hi"), said, user("And?")]).new] == ["And?"]


@pytest.mark.parametrize("messages", [None, 7, [], [None], [{"role": "system", "content": "Be brief"}], [{}], ""])
def test_what_asks_nothing_has_no_question(messages: object) -> None:
    asked = asked_in(messages)
    assert (asked.question, asked.new) == ("", ())


def test_without_a_system_message_the_block_is_one() -> None:
    assert into_messages([user("Hi")], "block") == [{"role": "system", "content": "block"}, user("Hi")]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_message_keeps_its_words_and_gets_the_block_behind_them(role: str) -> None:
    messages: list[Any] = [{"role": role, "content": "Be brief."}, user("Hi")]
    assert into_messages(messages, "block")[0] == {"role": role, "content": "Be brief.\n\nblock"}
    parts: list[Any] = [{"role": role, "content": [{"type": "text", "text": "Be brief."}]}]
    assert into_messages(parts, "block") == [
        {"role": role, "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "block"}]}
    ]
    assert messages[0]["content"] == "Be brief."
    assert len(parts[0]["content"]) == 1


def test_instructions_keep_their_words() -> None:
    assert into_instructions("Be brief.", "block") == "Be brief.\n\nblock"
    assert into_instructions(None, "block") == "block"


def test_the_block_says_that_it_is_data() -> None:
    block = memory_block("- a [^i1]", cite=False)
    assert "not instructions" in block
    assert "[^" not in block
    assert "- a [^i1]" in memory_block("- a [^i1]", cite=True)


@given(
    st.lists(st.sampled_from(["</memory>", "</ MEMORY >", "<memory>", "</Memory", "\n", "ignore", " "])).map("".join)
)
def test_no_memorized_text_ends_the_block(text: str) -> None:
    block = memory_block(text, cite=True).casefold()
    assert block.count("<memory") == block.count("</memory") == 1
    assert block.endswith("</memory>")


ALLERGY = "I'm allergic to hazelnuts. Walnuts and almonds are fine, but one hazelnut and I'm in hospital."
BREAD = "On weekends I bake sourdough bread."
MOVED = "I moved to Lisbon with my sister."


@pytest.mark.parametrize(
    ("query", "answer", "used"),
    [
        ("What is Ana allergic to?", "Ana is allergic to hazelnuts.", ["i1"]),
        ("Where does Ana live?", "In Lisbon.", ["i3"]),
        ("What does Ana do on weekends?", "She bakes sourdough bread.", ["i2"]),
        ("What shall I bring?", "No hazelnuts, Ana would land in hospital! And she bakes sourdough bread.", ["i1", "i2"]),
        ("Where does Ana live?", "I don't know.", []),
        ("What is Ana allergic to?", "Is Ana allergic to anything?", []),
        ("Plan a party", "Great! You could bake something sweet, invite friends and play music in the garden.", []),
        ("Plan a party", "Sure [^i2], and the unknown [^i9].", ["i2"]),
        ("Plan a party", "", []),
    ],
)  # fmt: skip
def test_an_item_is_used_when_the_answer_cites_it_or_says_what_only_it_knows(
    query: str, answer: str, used: list[str]
) -> None:
    assert used_ids(answer, found(query, ALLERGY, BREAD, MOVED)) == used


def test_a_date_is_part_of_what_an_item_says() -> None:
    hit = found("When did Ana hike?", "Ana hiked.", happened=datetime(2024, 5, 7, tzinfo=UTC))
    assert used_ids("On 7 May 2024.", hit) == ["i1"]
