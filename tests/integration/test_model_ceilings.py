"""Ceilings of a day: above them work waits, politely, and goes on when it may."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from scripted_llm import ScriptedLLM
from thinking import Mind, thinking_memory
from waiting import until

from memstream import AsyncUser
from memstream.events.errors import Unavailable
from memstream.events.payloads import ItemsExtractedData, Usage
from memstream.events.subjects import Scope
from memstream.events.types import ItemsExtracted
from memstream.services.models.failures import LimitReached
from memstream.services.models.limits import DailyLimits

DOG = [{"role": "user", "name": "Ben", "content": "My dog Rex loves the deep snow."}]
ENOUGH = 1_000_000
MORE_THAN_THE_QUEUE_HANDS_OUT = 140


@pytest.fixture
def mind() -> Iterator[Mind]:
    with ScriptedLLM() as server:
        yield Mind(server)


async def status_of(user: AsyncUser) -> str:
    """Return how far the user's first resource is."""
    return (await user.resources())[0].status


async def test_a_ceiling_for_everybody_stops_everybody_and_questions_go_on_without_a_model(
    tmp_path: Path, mind: Mind, conversation: list[dict[str, Any]]
) -> None:
    async with thinking_memory(tmp_path, mind.server, max_tokens_per_day=1) as memory:
        ana, ben = memory.user("ana"), memory.user("ben")
        await ana.memorize(conversation)
        await ana.settle()
        mind.server.forget()
        later = await ben.memorize(DOG, wait=False)
        found = await ana.retrieve("Where did Ana go hiking?")
        assert any("Alps" in hit.text for hit in found.items)
        with pytest.raises(Unavailable, match=r"tokens are used today; work goes on at .* 00:00 UTC"):
            await ana.retrieve("Where did Ana go hiking?", method="llm")
        assert later.resource.status == "ingested"
        assert mind.calls() == []
        # Nothing failed: it waits.
        assert not await ben.events(types=["extraction.failed"])


async def test_what_waited_is_extracted_once_the_ceiling_is_higher(
    tmp_path: Path, mind: Mind, conversation: list[dict[str, Any]]
) -> None:
    async with thinking_memory(tmp_path, mind.server, max_tokens_per_day=1) as memory:
        await memory.user("ana").memorize(conversation)
        await memory.user("ben").memorize(DOG, wait=False)
    # What was spent today is in the log: a restart does not begin anew.
    mind.server.forget()
    async with thinking_memory(tmp_path, mind.server, max_tokens_per_day=1) as memory:
        await memory.user("cleo").memorize(DOG, wait=False)
        assert (await memory.user("cleo").retrieve("Which dog?", use_model=True)).usage.calls == 0
        assert mind.calls("extract") == []
    async with thinking_memory(tmp_path, mind.server, max_tokens_per_day=ENOUGH) as memory:
        for name in ("ben", "cleo"):
            user = memory.user(name)

            async def extracted(user: AsyncUser = user) -> bool:
                return await status_of(user) == "ready"

            await until(extracted, timeout=40)
            assert any(item.text.startswith("Ben said:") for item in await user.items())
            assert not await user.events(types=["extraction.failed"])
    assert len(mind.calls("extract")) == 2


async def test_whoever_is_over_the_ceiling_keeps_nobody_else_waiting_however_much_waits(
    tmp_path: Path, mind: Mind, conversation: list[dict[str, Any]]
) -> None:
    async with thinking_memory(tmp_path, mind.server, max_tokens_per_user_per_day=1) as memory:
        ana, ben = memory.user("ana"), memory.user("ben")
        await ana.memorize(conversation)
        await ana.settle()
        for number in range(MORE_THAN_THE_QUEUE_HANDS_OUT):
            await ana.memorize(f"Note {number}: the garden needs rain.", wait=False)
        await ben.memorize(DOG)
        assert await status_of(ben) == "ready"
        assert any(item.text.startswith("Ben said:") for item in await ben.items())
        assert [one.status for one in await ana.resources(limit=200)].count("ready") == 1
        assert not await ana.events(types=["extraction.failed"])
    mind.server.forget()
    async with thinking_memory(tmp_path, mind.server, max_tokens_per_user_per_day=ENOUGH) as memory:

        async def all_extracted() -> bool:
            return all(one.status == "ready" for one in await memory.user("ana").resources(limit=200))

        await until(all_extracted, timeout=60)
    assert len(mind.calls("extract")) == MORE_THAN_THE_QUEUE_HANDS_OUT


def spent(user: str, tokens: int, day: date) -> ItemsExtracted:
    """Return an event that cost something on a day."""
    usage = Usage(model="scripted", calls=1, tokens_in=tokens)
    data = ItemsExtractedData(resource_id="r", extractor="scripted extract-1", usage=usage)
    return ItemsExtracted.of(
        Scope.of("default", user), data, time=datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    )


def test_the_next_day_begins_with_nothing_spent() -> None:
    days = [date(2026, 11, 23)]
    limits = DailyLimits(per_user=100, total=150, today=lambda: days[-1])
    ana, ben = Scope.of("default", "ana"), Scope.of("default", "ben")
    limits.count(spent("ana", 100, days[0]))
    with pytest.raises(LimitReached, match="'ana' has used 100 of 100 tokens today"):
        limits.check(ana)
    limits.check(ben)
    limits.count(spent("ben", 50, days[0]))
    with pytest.raises(LimitReached, match="150 of 150 tokens are used today; work goes on at 2026-11-24"):
        limits.check(ben)
    days.append(date(2026, 11, 24))
    limits.check(ana)
    limits.check(ben)
    # What comes late of yesterday is not today's.
    limits.count(spent("ana", 100, days[0]))
    limits.check(ana)
