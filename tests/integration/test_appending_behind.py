"""Appending right behind a known position: what was derived from the log is written only if the log is still that."""

import asyncio

import pytest

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.errors import Conflict
from memstream.events.log import EventLog
from memstream.events.subjects import Scope
from memstream.events.types import Event

SCOPE = Scope.of("acme", "ana")


def created(name: str) -> Event:
    data = p.CategoryCreatedData(category_id=name, name=name, description="", origin="user")
    return t.CategoryCreated.of(SCOPE, data)


async def test_a_batch_behind_the_end_gets_the_positions_that_were_foreseen(log: EventLog) -> None:
    end = (await log.append(created("first"))).position
    done = await log.append_behind([created("a"), created("b"), created("c")], end)
    assert [one.position for one in done] == [end + 1, end + 2, end + 3]


@pytest.mark.parametrize("size", [1, 3])
async def test_behind_a_position_that_the_log_has_passed_nothing_is_appended(log: EventLog, size: int) -> None:
    end = (await log.append(created("first"))).position
    await log.append(created("second"))
    with pytest.raises(Conflict, match="the log went on"):
        await log.append_behind([created(f"c{number}") for number in range(size)], end)
    assert (await log.state()).last_position == end + 1


async def test_of_two_who_append_behind_the_same_position_one_succeeds(log: EventLog) -> None:
    end = (await log.append(created("first"))).position
    batches = [[created(f"{name}{number}") for number in range(3)] for name in "ab"]
    results = await asyncio.gather(*(log.append_behind(batch, end) for batch in batches), return_exceptions=True)
    assert sum(isinstance(one, Conflict) for one in results) == 1
    assert (await log.state()).last_position == end + 3


async def test_a_repeated_append_behind_a_position_finds_its_own_events(log: EventLog) -> None:
    end = (await log.append(created("first"))).position
    batch = [created("a"), created("b")]
    first = await log.append_behind(batch, end)
    again = await log.append_behind(batch, end)
    assert [one.position for one in again] == [one.position for one in first]
