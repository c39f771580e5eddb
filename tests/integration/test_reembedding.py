"""Another embedding model: its space is filled beside the old one, then questions are asked in it."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from memstream import AsyncMemory
from memstream.events.errors import InvalidInput
from memstream.services import operations as o

OLD, NEW = 256, 128


async def filled(memory: AsyncMemory, conversation, *users: str) -> None:
    """Memorize the conversation for each user and wait until everything is written."""
    for user in users:
        await memory.user(user).memorize(conversation)
        await memory.user(user).settle()


async def vectors_of(memory: AsyncMemory, user: str) -> Counter[tuple[int, str]]:
    """Count the vectors of a user's facts in the log, by dimension and id."""
    found: Counter[tuple[int, str]] = Counter()
    for event in await memory.user(user).events(types=["vectors.embedded"]):
        dimension = event.data["space"]["dimension"]  # type: ignore[index]  # data is JSON here
        facts = [one for one in event.data["vectors"] if one["layer"] != "query"]  # type: ignore[attr-defined]  # the same
        found.update((dimension, f"{event.causation}/{one['id']}") for one in facts)
    return found


async def test_a_new_space_is_filled_and_switched_to(tmp_path: Path, conversation) -> None:
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        await filled(memory, conversation, "ana", "ben")
        done = await memory.operate(o.Reembed(model="wordllama-128"))
        assert done.space.endswith("@128")
        assert done.events_embedded > 0
        found = await memory.user("ana").retrieve("What does Ana do on weekends?", exhaustive=True)
        assert "climbing" in found.items[0].text
        assert found.items[0].signals["vector"] > 0
        counted = await vectors_of(memory, "ana")
        assert {key for size, key in counted if size == NEW} == {key for size, key in counted if size == OLD}
        assert set(counted.values()) == {1}
        # What comes now is embedded in the new space alone.
        await filled(memory, conversation[1:2], "cleo")
        assert {size for size, _ in await vectors_of(memory, "cleo")} == {NEW}
        assert (await memory.operate(o.Verify())).matches
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        await filled(memory, conversation[1:2], "dora")
        assert {size for size, _ in await vectors_of(memory, "dora")} == {NEW}
        assert (await memory.user("dora").retrieve("Who went hiking?", exhaustive=True)).items[0].signals["vector"] > 0


async def test_the_old_space_can_be_dropped_and_come_back(tmp_path: Path, conversation) -> None:
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        await filled(memory, conversation, "ana")
        then = await memory.user("ana").settle()
        done = await memory.operate(o.Reembed(model="wordllama-64", drop_old=True))
        past = await memory.user("ana").retrieve("What does Ana do on weekends?", as_of=then, exhaustive=True)
        assert past.items[0].signals["vector"] > 0
        assert done.old_events_dropped > 0
        assert {size for size, _ in await vectors_of(memory, "ana")} == {64}
        assert (await memory.operate(o.Verify())).matches
        assert (await memory.user("ana").retrieve("What does Ana do on weekends?")).items
        back = await memory.operate(o.Reembed(model="wordllama", drop_old=True))
        assert back.events_embedded == done.events_embedded
        assert {size for size, _ in await vectors_of(memory, "ana")} == {OLD}
        assert (await memory.operate(o.Verify())).matches


async def test_an_interrupted_run_embeds_nothing_twice(tmp_path: Path, conversation) -> None:
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        await filled(memory, conversation, "ana", "ben", "cleo")
        told = asyncio.Event()
        running = asyncio.create_task(memory.operate(o.Reembed(model="wordllama-128"), lambda _: told.set()))
        await told.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        # Answered from the old space as if nothing had been begun.
        assert (await memory.user("ana").retrieve("What does Ana do on weekends?", exhaustive=True)).items[0].signals[
            "vector"
        ] > 0
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        await filled(memory, conversation[1:2], "dora")
        done = await memory.operate(o.Reembed(model="wordllama-128"))
        assert done.events_embedded > 0
        for user in ("ana", "ben", "cleo", "dora"):
            counted = await vectors_of(memory, user)
            assert set(counted.values()) == {1}
            assert {key for size, key in counted if size == NEW} == {key for size, key in counted if size == OLD}


async def test_unknown_models_and_the_present_one_are_refused(memory: AsyncMemory, conversation) -> None:
    await filled(memory, conversation, "ana")
    with pytest.raises(InvalidInput, match="known are wordllama"):
        await memory.operate(o.Reembed(model="oracle"))
    with pytest.raises(InvalidInput, match="already"):
        await memory.operate(o.Reembed(model="wordllama"))
