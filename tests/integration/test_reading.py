"""Reading a long log slowly, or through an interruption: nothing comes unasked, and nothing is missed."""

import asyncio
import contextlib
import logging

import pytest
from waiting import until

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.ids import derived_id
from memstream.events.log import EventLog
from memstream.events.stream import STREAM
from memstream.events.subjects import Scope
from memstream.events.tasks import end

ANA = Scope.of("default", "ana")
EVENTS = 8_000


async def fill(log: EventLog) -> int:
    """Append more than a reader asks for at once; return the last position."""
    made = [
        t.CategoryCreated.of(
            ANA,
            p.CategoryCreatedData(category_id=f"c{n}", name=f"n{n}", description="d" * 2_000, origin="user"),
            id=derived_id("reading", n),
        )
        for n in range(EVENTS)
    ]
    return (await log.append_many(made, split=True))[-1].position


async def test_a_reader_that_takes_its_time_gets_no_more_than_it_asked_for(log: EventLog) -> None:
    end = await fill(log)
    before = log.nc.stats["in_msgs"]
    async with contextlib.aclosing(log.read_stored()) as feed:
        first = await anext(feed)
        counts = [0, -1]

        async def quiet() -> bool:
            # Nothing has come since it was last looked: what was asked for is here.
            counts.append(log.nc.stats["in_msgs"])
            return counts[-1] == counts[-2] == counts[-3]

        await until(quiet)
        assert counts[-1] - before < EVENTS / 2
        rest = [stored.position async for stored in feed]
    assert [first.position, *rest] == list(range(1, end + 1))


async def test_a_reader_whose_consumer_is_gone_goes_on_where_it_was(log: EventLog) -> None:
    end = await fill(log)
    js = log.nc.jetstream()
    positions: list[int] = []
    async with contextlib.aclosing(log.read_stored()) as feed:
        async for stored in feed:
            positions.append(stored.position)
            if stored.position in {10, EVENTS // 2}:
                for one in await js.consumers_info(STREAM):
                    await js.delete_consumer(STREAM, one.name)
    assert positions == list(range(1, end + 1))


async def test_a_long_log_is_read_by_one_consumer(log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    end = await fill(log)
    with caplog.at_level(logging.INFO, logger="memstream.events"):
        assert [stored.position async for stored in log.read_stored()] == list(range(1, end + 1))
    assert caplog.messages == []


async def test_readers_leave_no_consumer_behind(log: EventLog) -> None:
    await fill(log)
    async with contextlib.aclosing(log.read_stored()) as feed:
        await anext(feed)
    follower = asyncio.create_task(anext(log.follow(after=EVENTS)))
    await until(lambda: _count(log, 1))
    # The server shows a consumer before its reader has heard of it, and nats-py may swallow a cancellation just then.
    await end(follower)
    await until(lambda: _count(log, 0))
    assert not await log.nc.jetstream().consumers_info(STREAM)


async def _count(log: EventLog, number: int) -> bool:
    return len(await log.nc.jetstream().consumers_info(STREAM)) == number
