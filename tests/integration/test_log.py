"""The event log on a real server: durable, atomic, repeatable, readable from anywhere."""

import asyncio
import io
from datetime import UTC, datetime, timedelta

import pytest
from waiting import until

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.datadir import DataDirectory
from memstream.events.errors import (
    DataDirectoryInUse,
    InvalidEvent,
    LogIntegrityError,
    LogUnavailable,
    NotFound,
    TooLarge,
)
from memstream.events.ids import derived_id, new_id
from memstream.events.log import EventLog
from memstream.events.server import EmbeddedServer
from memstream.events.stream import STREAM
from memstream.events.subjects import Scope
from memstream.events.types import Event

ANA, BEN = Scope.of("default", "ana"), Scope.of("default", "ben")


def event(number: int = 0, scope: Scope = ANA, identifier: str | None = None) -> Event:
    data = p.CategoryCreatedData(category_id=f"c{number}", name=f"n{number}", description="d", origin="user")
    return t.CategoryCreated.of(scope, data, id=identifier)


def old_id(age: timedelta, number: int) -> str:
    """A UUIDv7 that was made in the past, beyond the server's duplicate window."""
    milliseconds = int((datetime.now(UTC) - age).timestamp() * 1000)
    text = f"{milliseconds:012x}7000800000000000{number:04x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


async def names(log: EventLog, scope: Scope | None = None, after: int = 0) -> list[str]:
    return [e.data.category_id async for e in log.read(after=after, scope=scope) if isinstance(e, t.CategoryCreated)]


async def test_an_appended_event_is_read_back_with_its_position_and_time(log: EventLog) -> None:
    sent = event()
    appended = await log.append(sent)
    read = [one async for one in log.read()]
    assert [one.position for one in read] == [appended.position] == [1]
    assert read[0].model_copy(update={"position": 0, "recorded": None}) == sent
    assert read[0].recorded is not None


async def test_a_repeated_append_changes_nothing_and_returns_the_first_position(log: EventLog) -> None:
    sent = event()
    first, again = await log.append(sent), await log.append(sent)
    assert (again.position, again.duplicate) == (first.position, True)
    assert (await log.state()).messages == 1


async def test_a_batch_is_stored_in_order_at_consecutive_positions(log: EventLog) -> None:
    appended = await log.append_many([event(n) for n in range(1_000)])
    assert [one.position for one in appended] == list(range(1, 1_001))
    assert await names(log) == [f"c{n}" for n in range(1_000)]


async def test_a_repeated_batch_returns_its_original_positions(log: EventLog) -> None:
    batch = [event(n) for n in range(5)]
    first = await log.append_many(batch)
    again = await log.append_many(batch)
    assert [one.position for one in again] == [one.position for one in first]
    assert all(one.duplicate for one in again)


async def test_a_duplicate_inside_a_batch_keeps_its_place_and_the_rest_is_appended(log: EventLog) -> None:
    old, new = event(1), event(2)
    await log.append(old)
    result = await log.append_many([old, new])
    assert [(one.position, one.duplicate) for one in result] == [(1, True), (2, False)]


@pytest.mark.parametrize("make", [lambda n: old_id(timedelta(hours=3), n), lambda n: derived_id("no time", n)])
async def test_a_duplicate_is_recognised_after_the_servers_window_too(server: EmbeddedServer, make) -> None:
    async with await EventLog.open(server.url) as log:
        batch = [event(n, identifier=make(n)) for n in range(3)]
        first = await log.append_many(batch)
        # The server forgets what it has seen; only the log itself still knows.
        js = log.nc.jetstream()
        config = (await js.stream_info(STREAM)).config
        await js.update_stream(config=config.evolve(duplicate_window=0.1))
        await until(lambda: forgotten(log))
        again = await log.append_many([*batch, event(9)])
        assert [one.position for one in again[:3]] == [one.position for one in first]
        assert len(await names(log)) == 4 + await probes(log)


async def forgotten(log: EventLog) -> bool:
    """Append a probe twice: it is stored twice once the server's window has passed."""
    probe = event(99, BEN, identifier=new_id())
    headers = {"Nats-Msg-Id": "probe"}
    await log.nc.jetstream().publish(probe.subject, probe.encode(), headers=headers)
    return await probes(log) > 1


async def probes(log: EventLog) -> int:
    return len([one async for one in log.read_stored(scope=BEN)])


async def test_a_batch_over_the_limit_is_refused_unless_it_may_be_split(log: EventLog) -> None:
    batch = [event(n) for n in range(2_300)]
    with pytest.raises(TooLarge, match="split=True"):
        await log.append_many(batch)
    assert (await log.state()).messages == 0
    appended = await log.append_many(batch, split=True)
    assert [one.position for one in appended] == list(range(1, 2_301))


async def test_batches_that_are_split_keep_their_order_also_when_their_ids_have_to_be_looked_up(log: EventLog) -> None:
    batch = [event(n, identifier=derived_id("split", n)) for n in range(6_300)]
    appended = await log.append_many(batch, split=True)
    assert [one.position for one in appended] == list(range(1, 6_301))
    again = await log.append_many(batch, split=True)
    assert [(one.position, one.duplicate) for one in again] == [(one.position, True) for one in appended]


async def test_two_events_with_one_id_in_a_batch_are_refused(log: EventLog) -> None:
    with pytest.raises(InvalidEvent, match="same id"):
        await log.append_many([event(1, identifier="x"), event(2, identifier="x")])


async def test_an_event_over_the_servers_limit_is_refused_before_anything_is_sent(log: EventLog) -> None:
    data = p.CategoryCreatedData(category_id="c", name="n", description="x" * 1_100_000, origin="user")
    with pytest.raises(TooLarge, match="object store"):
        await log.append_many([event(1), t.CategoryCreated.of(ANA, data)])
    assert (await log.state()).messages == 0


async def test_concurrent_appends_all_arrive_once(log: EventLog) -> None:
    sent = [event(n) for n in range(200)]
    results = await asyncio.gather(*(log.append(one) for one in sent), *(log.append(one) for one in sent))
    assert len({one.position for one in results}) == 200
    assert sorted(await names(log)) == sorted(f"c{n}" for n in range(200))


async def test_one_users_events_are_read_alone_and_from_any_position(log: EventLog) -> None:
    await log.append_many([event(1, ANA), event(2, BEN), event(3, ANA)])
    assert await names(log, ANA) == ["c1", "c3"]
    assert await names(log, BEN) == ["c2"]
    assert await names(log, after=1) == ["c2", "c3"]
    assert await names(log, after=99) == []
    assert [e.position async for e in log.read(until=2)] == [1, 2]


async def test_reading_ends_at_the_present_end_even_when_other_users_wrote_last(log: EventLog) -> None:
    await log.append_many([event(1, ANA), event(2, BEN)])
    assert await names(log, ANA) == ["c1"]
    assert await names(log, Scope.of("default", "nobody")) == []


async def test_following_delivers_what_is_there_and_what_comes(log: EventLog) -> None:
    await log.append(event(1))
    seen: list[int] = []
    feed = log.follow()
    seen.append((await anext(feed)).position)
    await log.append(event(2))
    seen.append((await anext(feed)).position)
    await feed.aclose()
    assert seen == [1, 2]


@pytest.mark.parametrize("user", ["a.b c", "*", ">", "😀" * 100, "x" * 500, "ä/ö\\"])
async def test_awkward_user_ids_are_separate_users(log: EventLog, user: str) -> None:
    scope = Scope.of("default", user)
    await log.append_many([event(1, scope), event(2, BEN)])
    assert await names(log, scope) == ["c1"]
    assert await log.counts(scope) == {"category.created": 1}


async def test_a_message_under_another_users_subject_is_not_taken_for_theirs(log: EventLog) -> None:
    forged = event(1, ANA)
    await log.nc.jetstream().publish(forged.subject.replace(ANA.key, BEN.key), forged.encode())
    with pytest.raises(InvalidEvent, match="claims"):
        await names(log, BEN)


async def test_a_stream_that_would_drop_history_is_refused(server: EmbeddedServer) -> None:
    async with await EventLog.open(server.url) as log:
        js = log.nc.jetstream()
        config = (await js.stream_info(STREAM)).config
        await js.update_stream(config=config.evolve(max_msgs=1_000))
    with pytest.raises(LogIntegrityError, match="max_msgs=1000"):
        await EventLog.open(server.url)


async def test_a_server_that_is_down_is_named_with_the_way_out() -> None:
    with pytest.raises(LogUnavailable, match=r"nats://127\.0\.0\.1:9"):
        await EventLog.open("nats://127.0.0.1:9")


async def test_an_append_to_a_dead_server_says_that_it_may_be_repeated(server: EmbeddedServer) -> None:
    log = await EventLog.open(server.url, timeout=1.0)
    await server.stop()
    with pytest.raises(LogUnavailable, match="safe to append the same events again"):
        await log.append(event(1))
    await log.close()


async def test_resource_bytes_are_stored_once_per_user_and_come_back_exactly(log: EventLog) -> None:
    content = bytes(range(256)) * 4_000
    first = await log.resources.put(ANA, io.BytesIO(content))
    again = await log.resources.put(ANA, io.BytesIO(content))
    assert (again.digest, first.known, again.known) == (first.digest, False, True)
    into = io.BytesIO()
    await log.resources.get(ANA, first.digest, into)
    assert into.getvalue() == content
    info = await log.nc.jetstream().stream_info("OBJ_memstream-resources")
    assert info.state.bytes < 1.5 * len(content)


async def test_another_user_cannot_read_bytes_by_their_digest(log: EventLog) -> None:
    stored = await log.resources.put(ANA, io.BytesIO(b"secret"))
    with pytest.raises(NotFound):
        await log.resources.get(BEN, stored.digest, io.BytesIO())


async def test_a_data_directory_has_one_owner_at_a_time(tmp_path) -> None:
    with DataDirectory.claim(tmp_path / "data"), pytest.raises(DataDirectoryInUse, match="in use by process"):
        DataDirectory.claim(tmp_path / "data")
    DataDirectory.claim(tmp_path / "data").release()


async def test_the_log_outlives_its_server_process(tmp_path) -> None:
    for expected in ([], ["c1"]):
        with DataDirectory.claim(tmp_path / "data") as directory:
            async with await EmbeddedServer.start(directory) as server, await EventLog.open(server.url) as log:
                assert await names(log) == expected
                await log.append(event(1, identifier="the-same"))
