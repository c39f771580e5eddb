"""Category files by a language model: cited, checked, changed by deltas, and quoted when it fails."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_llm import Failure, ScriptedLLM
from thinking import Mind, every_statement, statement, thinking_memory

from memstream import AsyncMemory
from memstream.projections.models import CategoryFile

TRIPS = [f"Ana hiked trail number {n} in the mountains of region {n}." for n in range(1, 13)]
LATER = [f"Ana sailed across lake number {n} in the lowlands of region {n}." for n in range(1, 13)]


@pytest.fixture
def mind() -> Iterator[Mind]:
    with ScriptedLLM() as server:
        yield Mind(server)


@pytest.fixture
async def thinking(tmp_path: Path, mind: Mind) -> AsyncIterator[AsyncMemory]:
    async with thinking_memory(tmp_path, mind.server) as memory:
        yield memory


async def told(memory: AsyncMemory, mind: Mind, facts: list[str]) -> CategoryFile:
    """Memorize some facts, all of one category, and return its file."""
    ana = memory.user("ana")
    mind.scripts["extract"] = lambda _: {
        "statements": [statement(fact, [n], categories=["experiences"]) for n, fact in enumerate(facts, start=1)]
    }
    await ana.memorize([{"role": "user", "name": "Ana", "content": fact.replace("Ana", "I")} for fact in facts])
    await ana.settle()
    return await ana.file("experiences")


async def test_a_file_is_written_by_the_model_and_cites_the_items_it_rests_on(
    thinking: AsyncMemory, mind: Mind
) -> None:
    file = await told(thinking, mind, TRIPS)
    assert file.summarizer == "scripted"
    assert "It is known: (" in file.text
    items = {item.id for item in await thinking.user("ana").items()}
    assert set(file.citations) <= items
    assert len(mind.calls("summarize")) == 1
    (event,) = [
        e for e in await thinking.user("ana").events(types=["category.summarized"]) if e.data.get("prompt_version")
    ]
    assert event.data["prompt_version"] == "summarize-1"
    assert event.data["usage"]["tokens_in"] > 0


async def test_an_update_shows_the_model_its_lines_and_what_is_new_alone(thinking: AsyncMemory, mind: Mind) -> None:
    await told(thinking, mind, TRIPS)
    mind.server.forget()
    file = await told(thinking, mind, LATER)
    (call,) = mind.calls("summarize")
    assert "L1 It is known" in call.text
    assert call.text.count("trail number 3 in") == 1
    assert sum("trail number" in line for line in file.text.splitlines()) == len(TRIPS)
    assert sum("lake number" in line for line in file.text.splitlines()) == len(LATER)


async def test_a_line_without_a_source_is_asked_for_once_more_and_then_marked(
    thinking: AsyncMemory, mind: Mind
) -> None:
    def unsourced(text: str) -> Any:
        found = every_statement(text)["changes"]
        found[0]["cites"] = [999]
        return {"changes": found}

    mind.scripts["summarize"] = unsourced
    file = await told(thinking, mind, TRIPS)
    assert len(mind.calls("summarize")) == 2
    assert sum("[^?]" in line for line in file.text.splitlines()) == 1


async def test_a_file_neither_shrinks_nor_loses_what_it_cites_without_a_reason(
    thinking: AsyncMemory, mind: Mind
) -> None:
    before = await told(thinking, mind, TRIPS)

    def destroy(_: str) -> Any:
        return {
            "changes": [
                {"page": 1, "op": "remove", "line": n, "text": "", "cites": [], "reason": "tidying up"}
                for n in range(1, 12)
            ]
            + [{"page": 1, "op": "replace", "line": 12, "text": "She hikes.", "cites": [1], "reason": ""}]
        }

    mind.scripts["summarize"] = destroy
    after = await told(thinking, mind, LATER)
    assert set(before.citations) <= set(after.citations)


async def test_a_model_that_fails_leaves_a_file_that_quotes_what_is_new(thinking: AsyncMemory, mind: Mind) -> None:
    before = await told(thinking, mind, TRIPS)
    mind.scripts["summarize"] = lambda _: "no JSON at all"
    after = await told(thinking, mind, LATER)
    assert set(before.text.splitlines()) <= set(after.text.splitlines())
    assert all(any(fact in line for line in after.text.splitlines()) for fact in LATER)


async def test_a_server_that_is_away_does_not_hold_the_files_up(thinking: AsyncMemory, mind: Mind) -> None:
    mind.scripts["summarize"] = lambda _: Failure(503)
    file = await told(thinking, mind, TRIPS)
    assert all(any(fact in line for line in file.text.splitlines()) for fact in TRIPS)


async def test_small_categories_are_quoted_without_a_call(thinking: AsyncMemory, mind: Mind) -> None:
    file = await told(thinking, mind, TRIPS[:2])
    assert file.summarizer == "extractive-1"
    assert mind.calls("summarize") == []
