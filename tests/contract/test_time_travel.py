"""The past can be asked, and operations be carried out, however a memory is reached."""

from datetime import UTC, datetime, timedelta

import pytest

from memstream import AsyncMemory, AsyncUser
from memstream.events.errors import InvalidInput, NotFound
from memstream.services import operations as o


async def moved(user: AsyncUser) -> int:
    """Memorize where Ana lives, note the position, then memorize that she moved."""
    await user.memorize([{"role": "user", "name": "Ana", "content": "I live in a small flat in Porto."}])
    then = await user.settle()
    await user.memorize([{"role": "user", "name": "Ana", "content": "I live in a large house in Faro now."}])
    await user.settle()
    return then


async def test_every_layer_answers_as_of_a_position(user: AsyncUser) -> None:
    then = await moved(user)
    assert [item.text for item in await user.items(as_of=then)] == ["I live in a small flat in Porto."]
    assert len(await user.items()) == 2
    assert len(await user.resources(as_of=then)) == 1
    assert all("Faro" not in file.text for file in await user.files(as_of=then))
    assert any("Faro" in file.text for file in await user.files())
    assert sum(one.items for one in await user.categories(as_of=then)) < sum(
        one.items for one in await user.categories()
    )
    assert (await user.counts(as_of=then)).items == 1
    name = (await user.files(as_of=then))[0].name
    assert (await user.file(name, as_of=then)).made <= then
    newer = next(item for item in await user.items() if "Faro" in item.text)
    with pytest.raises(NotFound):
        await user.item(newer.id, as_of=then)
    with pytest.raises(NotFound):
        await user.lineage(newer.id, as_of=then)
    older = (await user.items(as_of=then))[0]
    assert all(event.position <= then for event in (await user.lineage(older.id, as_of=then)).events)


async def test_a_retrieval_as_of_a_position_is_that_of_the_moment(user: AsyncUser) -> None:
    then = await moved(user)
    found = await user.retrieve("Where does Ana live?", as_of=then, exhaustive=True)
    assert [hit.text for hit in found.items] == ["I live in a small flat in Porto."]
    assert all("Faro" not in hit.text for hit in found.resources)
    assert all("Faro" not in hit.summary for hit in found.categories)
    assert found.as_of == then
    assert len((await user.retrieve("Where does Ana live?", exhaustive=True)).items) == 2


async def test_a_time_is_as_good_as_a_position(user: AsyncUser) -> None:
    await user.memorize([{"role": "user", "name": "Ana", "content": "I live in a small flat in Porto."}])
    await user.settle()
    between = datetime.now(UTC)
    await user.memorize([{"role": "user", "name": "Ana", "content": "I live in a large house in Faro now."}])
    assert [item.text for item in await user.items(as_of=between)] == ["I live in a small flat in Porto."]


async def test_a_diff_tells_what_changed_in_words(user: AsyncUser) -> None:
    then = await moved(user)
    diff = await user.diff(then)
    assert [one.text for one in diff.items_added] == ["I live in a large house in Faro now."]
    assert any(sentence.startswith("learned: I live in a large house") for sentence in diff.words)
    assert any("Faro" in line for file in diff.files for line in file.added)
    assert [one.text for one in diff.resources] == ["conversation"]
    nothing = await user.diff(diff.until, diff.until)
    assert nothing.words == ("nothing changed",)
    with pytest.raises(InvalidInput, match="swap"):
        await user.diff(diff.until, then)


async def test_moments_that_are_none_are_refused(user: AsyncUser) -> None:
    then = await moved(user)
    for moment in (then + 1_000_000, datetime.now(UTC) + timedelta(hours=1)):
        with pytest.raises(InvalidInput, match="future"):
            await user.items(as_of=moment)
    with pytest.raises(InvalidInput, match="before the first event"):
        await user.retrieve("?", as_of=datetime(2020, 1, 1, tzinfo=UTC))
    for moment in (0, -3, datetime(2026, 1, 1)):  # noqa: DTZ001 - a time without a zone names no moment
        with pytest.raises(InvalidInput, match="as_of"):
            await user.items(as_of=moment)


async def test_operations_run_and_tell_how_far_they_are(shared: AsyncMemory, user: AsyncUser) -> None:
    await moved(user)
    told: list[o.Progress] = []
    verified = await shared.operate(o.Verify(user=user.scope.user), told.append)
    assert verified.matches, verified.difference
    assert told[-1].done == verified.position
    made = await shared.operate(o.Replay())
    assert made.served
    assert [one.state for one in await shared.operate(o.ListGenerations())][-1] == "serving"
    with pytest.raises(NotFound, match="g999999"):
        await shared.operate(o.DropGeneration(name="g999999"))
    assert len(await user.items()) == 2
