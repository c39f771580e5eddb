"""What operators do: digest, verify, replay into generations, roll back, look into parked events."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from memstream import AsyncMemory
from memstream.events.errors import InvalidInput, NotFound, Unavailable
from memstream.events.ids import new_id
from memstream.services import operations as o


async def filled(memory: AsyncMemory, conversation: list[dict[str, Any]], *users: str) -> None:
    """Memorize the conversation for each user, ask once, and wait until everything is written."""
    for user in users:
        one = memory.user(user)
        await one.memorize(conversation, name=f"chat of {user}")
        found = await one.retrieve("What does Ana do on weekends?")
        await one.feedback(found.retrieval_id, used=[found.items[0].id])
        await one.settle()


async def test_what_is_served_equals_what_the_log_says(memory: AsyncMemory, conversation) -> None:
    await filled(memory, conversation, "ana", "ben")
    steps: list[o.Progress] = []
    verified = await memory.operate(o.Verify(), steps.append)
    assert verified.matches, verified.difference
    assert verified.served == verified.rebuilt
    assert steps[-1].done == steps[-1].total == verified.position
    assert (await memory.operate(o.Verify(user="ana"))).matches


async def test_a_digest_speaks_of_a_moment_and_of_a_user(memory: AsyncMemory, conversation) -> None:
    await filled(memory, conversation, "ana")
    before = await memory.operate(o.TakeDigest())
    ana = await memory.operate(o.TakeDigest(user="ana"))
    await filled(memory, conversation, "ben")
    assert (await memory.operate(o.TakeDigest())).digest != before.digest
    assert await memory.operate(o.TakeDigest(as_of=before.position)) == before
    assert (await memory.operate(o.TakeDigest(user="ana"))).digest == ana.digest
    assert (await memory.operate(o.TakeDigest(user="nobody"))).tables == ()


async def test_a_replay_is_switched_over_to_and_can_be_taken_back(memory: AsyncMemory, conversation) -> None:
    await filled(memory, conversation, "ana")
    before = await memory.operate(o.TakeDigest())
    made = await memory.operate(o.Replay())
    assert made.served
    assert made.items > 0
    names = {one.name: one.state for one in await memory.operate(o.ListGenerations())}
    assert names == {"g000001": "kept", made.generation: "serving"}
    assert await memory.operate(o.TakeDigest()) == before
    await filled(memory, conversation, "ben")
    now = await memory.operate(o.TakeDigest())
    back = await memory.operate(o.Rollback())
    assert (back.name, back.state) == ("g000001", "serving")
    assert await memory.operate(o.TakeDigest()) == now
    left = await memory.operate(o.DropGeneration(name=str(made.generation)))
    assert [one.name for one in left] == ["g000001"]
    assert (await memory.user("ben").retrieve("What does Ana do on weekends?")).items


async def test_retrievals_go_on_while_a_replay_runs(memory: AsyncMemory, conversation) -> None:
    await filled(memory, conversation, "ana", "ben", "cleo")
    replaying = asyncio.create_task(memory.operate(o.Replay()))
    asked = 0
    while not replaying.done():
        found = await memory.user("ana").retrieve("What does Ana do on weekends?")
        assert "climbing" in found.items[0].text
        await memory.user("dora").memorize([{"role": "user", "name": "D", "content": f"I saw {asked} herons today."}])
        asked += 1
    assert (await replaying).served
    assert asked
    assert len(await memory.user("dora").items()) == asked
    assert (await memory.operate(o.Verify())).matches


async def test_a_second_operation_is_refused_while_one_runs(memory: AsyncMemory, conversation) -> None:
    await filled(memory, conversation, "ana")
    first = asyncio.create_task(memory.operate(o.Replay()))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="running already"):
        await memory.operate(o.Replay())
    await first


async def test_an_interrupted_replay_goes_on_where_it_stopped(memory: AsyncMemory, conversation) -> None:
    await filled(memory, conversation, "ana")
    running = asyncio.create_task(memory.operate(o.Replay()))
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    before = await memory.operate(o.TakeDigest())
    made = await memory.operate(o.Replay())
    assert made.resumed
    assert len(await memory.operate(o.ListGenerations())) == 2
    assert await memory.operate(o.TakeDigest()) == before


async def test_the_past_is_rebuilt_into_a_directory(memory: AsyncMemory, conversation, tmp_path: Path) -> None:
    await filled(memory, conversation, "ana")
    then = await memory.operate(o.TakeDigest(user="ana"))
    await filled(memory, conversation[:2], "ben")
    await memory.user("ana").memorize([{"role": "user", "name": "Ana", "content": "I sold my climbing shoes."}])
    made = await memory.operate(o.Replay(user="ana", until=then.position, into=str(tmp_path / "then")))
    assert not made.served
    again = await memory.operate(o.TakeDigest(user="ana", directory=str(tmp_path / "then")))
    assert again == then
    assert await memory.operate(o.TakeDigest(user="ana", as_of=then.position)) == then


async def test_operators_mistakes_are_told(memory: AsyncMemory, conversation, tmp_path: Path) -> None:
    await filled(memory, conversation, "ana")
    end = (await memory.operate(o.TakeDigest())).position
    with pytest.raises(InvalidInput, match="--into"):
        await memory.operate(o.Replay(user="ana"))
    with pytest.raises(InvalidInput, match="future"):
        await memory.operate(o.Replay(until=end + 1, into=str(tmp_path / "x")))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(InvalidInput, match="other files"):
        await memory.operate(o.Replay(into=str(tmp_path / "other")))
    with pytest.raises(InvalidInput, match="no projection"):
        await memory.operate(o.TakeDigest(directory=str(tmp_path / "nowhere")))
    with pytest.raises(NotFound, match="g000009"):
        await memory.operate(o.Rollback(name="g000009"))
    with pytest.raises(NotFound, match="no other complete generation"):
        await memory.operate(o.Rollback())
    with pytest.raises(InvalidInput, match="served"):
        await memory.operate(o.DropGeneration(name="g000001"))
    with pytest.raises(NotFound, match="position 1"):
        await memory.operate(o.RetryParked(position=1))


async def poisoned(memory: AsyncMemory, user: str) -> int:
    """Put a poison event, and one that waits behind it, into the log; return the first one's position."""
    log = memory._backend.log  # type: ignore[attr-defined]  # what a user has no need of
    item = new_id()
    body = {
        "id": new_id(),
        "type": "item.revised",
        "version": 1,
        "tenant": "default",
        "user": user,
        "time": "2026-01-01T00:00:00Z",
        "data": {"item_id": item, "text": "nobody knows this item", "reason": "poison"},
    }
    positions = []
    for identifier in (new_id(), new_id()):
        message = (body | {"id": identifier}).__repr__().replace("'", '"')
        ack = await log.nc.jetstream().publish(f"memstream.default.{user}.item.revised", message.encode())
        positions.append(ack.seq)
    return int(positions[0])


async def vectors_parked(memory: AsyncMemory, count: int) -> None:
    """Wait until as many events of vectors are parked."""
    async with asyncio.timeout(10):
        while sum(one.type == "vectors.embedded" for one in await memory.operate(o.ListParkedEvents())) < count:
            await asyncio.sleep(0.02)


async def test_parked_events_are_listed_shown_retried_and_dropped(memory: AsyncMemory, conversation) -> None:
    await filled(memory, conversation, "ana")
    position = await poisoned(memory, "ana")
    # The embedder has made vectors of what was refused: they wait behind it, too.
    await vectors_parked(memory, 2)
    first, second, *vectors = await memory.operate(o.ListParkedEvents())
    assert first.position == position
    assert position + 1 in first.waiting
    assert second.waits_for == position
    assert {one.type for one in vectors} == {"vectors.embedded"}
    assert {one.waits_for for one in vectors} == {position, position + 1}
    shown = await memory.operate(o.ShowParked(position=position))
    assert "nobody knows this item" in shown.body
    with pytest.raises(Exception, match=f"position {position}"):
        await memory.operate(o.Verify())
    again = await memory.operate(o.RetryParked())
    assert again.applied == ()
    assert [one.attempts for one in again.still_parked] == [2, 2, 2, 2]
    dropped = await memory.operate(o.DropParked(position=position))
    assert [one.type for one in dropped.still_parked] == ["item.revised", "vectors.embedded"]
    assert dropped.still_parked[0].position == position + 1
    assert dropped.still_parked[0].waits_for is None
    await memory.operate(o.DropParked(position=position + 1))
    assert await memory.operate(o.ListParkedEvents()) == []
    assert (await memory.operate(o.Verify())).matches
