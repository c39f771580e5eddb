"""Retrieval with a language model: reading in four calls at most, and a search that it helps in two."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_llm import Failure, ScriptedLLM
from thinking import Mind, asked_of, statement, thinking_memory

from memstream import AsyncMemory
from memstream.events.errors import ModelRequired, ProcessingFailed, Unavailable

HIKE = "Ana went hiking in the Alps with her sister Mia on 30 April 2024."


@pytest.fixture
def mind() -> Iterator[Mind]:
    with ScriptedLLM() as server:
        yield Mind(server)


@pytest.fixture
async def thinking(tmp_path: Path, mind: Mind, conversation: list[dict[str, Any]]) -> AsyncIterator[AsyncMemory]:
    async with thinking_memory(tmp_path, mind.server) as memory:
        mind.scripts["extract"] = lambda _: {"statements": [statement(HIKE, [2])]}
        await memory.user("ana").memorize(conversation)
        await memory.user("ana").settle()
        mind.server.forget()
        yield memory


def number_of(text: str, words: str) -> int:
    """Return the number of the entry that holds some words."""
    before = text.split("Question: ", 1)[1].split("\n\n", 1)[1]
    entry = next(line for line in before.splitlines() if words in line and line.split(".", 1)[0].isdigit())
    return int(entry.split(".", 1)[0])


async def test_reading_goes_down_the_tiers_in_four_calls_at_most(thinking: AsyncMemory, mind: Mind) -> None:
    found = await thinking.user("ana").retrieve("Where did Ana go hiking?", method="llm")
    assert [len(mind.calls(task)) for task in ("decide", "read")] == [1, 3]
    assert (len(found.categories), len(found.items), len(found.resources)) == (1, 1, 1)
    assert found.categories[0].reason == "first"
    assert found.sufficient_at is None
    assert found.next_step_query == "x"
    assert mind.server.asked("embeddings") == []


async def test_reading_stops_at_the_tier_that_suffices(thinking: AsyncMemory, mind: Mind) -> None:
    def enough_in_items(text: str) -> Any:
        if "Statements:" not in text:
            return {"relevant": [], "sufficient": False, "next_query": "the hike"}
        number = number_of(text, HIKE)
        return {"relevant": [{"number": number, "reason": "says where"}], "sufficient": True, "next_query": ""}

    mind.scripts["read"] = enough_in_items
    found = await thinking.user("ana").retrieve("Where did Ana go hiking?", method="llm")
    assert [hit.text for hit in found.items] == [HIKE]
    assert found.items[0].reason == "says where"
    assert found.items[0].sources[0].message_ids == ("c2",)
    assert (found.sufficient_at, found.next_step_query) == ("item", None)
    assert len(mind.calls()) == 3
    assert HIKE in found.context
    assert found.usage.calls == 3
    assert {task.task for task in found.usage.tasks} == {"judge", "rank"}


async def test_a_number_that_was_not_shown_names_nothing(thinking: AsyncMemory, mind: Mind) -> None:
    mind.scripts["read"] = lambda _: {
        "relevant": [{"number": 999, "reason": "?"}],
        "sufficient": True,
        "next_query": "",
    }
    found = await thinking.user("ana").retrieve("Where did Ana go hiking?", method="llm")
    assert (found.categories, found.items, found.resources, found.sufficient_at) == ((), (), (), None)


async def test_what_a_prompt_had_no_room_for_is_told(tmp_path: Path) -> None:
    with ScriptedLLM() as server:
        mind = Mind(server)
        mind.scripts["extract"] = lambda _: {"statements": []}
        async with thinking_memory(tmp_path, server) as memory:
            text = "\n\n".join(
                f"Fact {n}: the station of {n} has {n} platforms and {'long ' * 20}trains." for n in range(600)
            )
            await memory.user("ana").memorize(text, name="stations.txt")
            mind.server.forget()
            found = await memory.user("ana").retrieve("How many platforms has the station of 77?", method="llm")
            assert found.unread["item"] > 100
            assert max(len(call.text) // 4 for call in mind.calls("read")) < 9_000
            items = next(call for call in mind.calls("read") if "Statements:" in call.text)
            assert "the station of 77 has" in items.text


async def test_a_question_that_needs_no_memory_costs_one_call(thinking: AsyncMemory, mind: Mind) -> None:
    mind.scripts["decide"] = lambda _: {"needs_memory": False, "query": "hello"}
    found = await thinking.user("ana").retrieve("Hello there, how is it going?", method="llm")
    assert (found.needs_retrieval, found.items, found.context) == (False, (), "")
    assert len(mind.calls()) == 1


async def test_a_search_asks_the_model_twice_at_most(thinking: AsyncMemory, mind: Mind) -> None:
    mind.scripts["decide"] = lambda _: {"needs_memory": True, "query": "Where did Ana go hiking?"}
    mind.scripts["suffice"] = lambda _: {"sufficient": False, "next_query": "Which trail?"}
    history = [{"role": "user", "content": "Tell me about Ana's hike."}]
    found = await thinking.user("ana").retrieve("Where was it?", conversation_history=history)
    assert found.rewritten_query == "Where did Ana go hiking?"
    assert (found.sufficient_at, found.next_step_query) == (None, "Which trail?")
    assert found.resources
    assert [len(mind.calls(task)) for task in ("decide", "suffice")] == [1, 1]
    assert "Tell me about Ana's hike." in asked_of(mind.calls("decide")[0])


async def test_a_search_can_be_told_to_ask_no_model(thinking: AsyncMemory, mind: Mind) -> None:
    found = await thinking.user("ana").retrieve("Where did Ana go hiking?", use_model=False)
    assert found.items
    assert mind.calls() == []
    with pytest.raises(ModelRequired):
        await thinking.user("ana").retrieve("Where?", method="llm", use_model=False)


async def test_a_search_goes_on_without_a_model_that_is_away(thinking: AsyncMemory, mind: Mind) -> None:
    mind.server.answer(Failure(503))
    found = await thinking.user("ana").retrieve("Where did Ana go hiking?")
    assert any("Alps" in hit.text for hit in found.items)
    with pytest.raises(Unavailable, match="503"):
        await thinking.user("ana").retrieve("Where did Ana go hiking?", method="llm")


async def test_reading_with_a_model_that_makes_no_sense_says_so(thinking: AsyncMemory, mind: Mind) -> None:
    mind.scripts["read"] = lambda _: "gibberish"
    with pytest.raises(ProcessingFailed, match="method='rag' needs no model"):
        await thinking.user("ana").retrieve("Where did Ana go hiking?", method="llm")


async def test_one_users_memory_is_never_read_for_another(thinking: AsyncMemory, mind: Mind) -> None:
    found = await thinking.user("ben").retrieve("Where did Ana go hiking?", method="llm")
    assert (found.categories, found.items, found.resources) == ((), (), ())
    assert all("Alps" not in call.text for call in mind.calls())
