"""The stores after a crash, torn files and deliveries in disorder: the log makes them whole, and the digest says so."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from processes import Service

from memstream import AsyncMemory
from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.ids import derived_id
from memstream.events.log import EventLog
from memstream.events.reading import Stored
from memstream.events.subjects import Scope
from memstream.projections.digest import digest_of
from memstream.projections.index import Index
from memstream.projections.ledger import Ledger
from memstream.projections.models import Digest
from memstream.projections.projector import Projector
from memstream.services import operations as o

SEED = 20_264
SAID = [f"Box number {number} is in the cellar." for number in range(12)]
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
BEN = Scope.of("default", "ben")


def cut_wal(generation: Path) -> None:
    """Cut the ledger's write-ahead log in the middle, as a power failure may."""
    wal = generation / "ledger.duckdb.wal"
    wal.write_bytes(wal.read_bytes()[: wal.stat().st_size * 2 // 3])


def garble_wal(generation: Path) -> None:
    """Overwrite a piece of the ledger's write-ahead log, as a bad disk may."""
    wal = generation / "ledger.duckdb.wal"
    content = bytearray(wal.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 512] = random.Random(SEED).randbytes(512)
    wal.write_bytes(content)


def lose_wal(generation: Path) -> None:
    """Lose the write-ahead log: the ledger falls behind the index."""
    (generation / "ledger.duckdb.wal").unlink()


def cut_manifest(generation: Path) -> None:
    """Cut the newest manifest of each of the index's tables."""
    for table in (generation / "index.lance").iterdir():
        newest = max(table.rglob("*.manifest"), key=lambda one: one.stat().st_mtime_ns)
        newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])


def lose_fragment(generation: Path) -> None:
    """Lose a data file of the index that its manifest names."""
    fragments = sorted((generation / "index.lance").rglob("*.lance"))
    next(one for one in reversed(fragments) if one.is_file()).unlink()


@pytest.mark.parametrize(
    "damage",
    [
        *(cut_wal, garble_wal, lose_wal, cut_manifest, lose_fragment),
    ],
)
async def test_files_torn_by_a_crash_are_made_whole_from_the_log(
    damage: Callable[[Path], None], start: Callable[[], Service]
) -> None:
    service = await asyncio.to_thread(start)
    async with await AsyncMemory.connect(service.url) as memory:
        for text in SAID:
            await memory.user("ana").memorize([{"role": "user", "content": text}], wait=False)
        await memory.user("ana").settle(timeout=60)
        before = await memory.operate(o.TakeDigest())
    service.kill_all()
    damage(service.data / "projection" / "g000001")
    service = await asyncio.to_thread(start)
    async with await AsyncMemory.connect(service.url) as memory:
        verified = await memory.operate(o.Verify())
        assert verified.matches, verified.difference
        assert await memory.operate(o.TakeDigest(as_of=before.position)) == before
        found = await memory.user("ana").retrieve(SAID[7])
        assert found.items[0].text == SAID[7]


async def messages(log: EventLog) -> list[Stored]:
    """Return everything that the log holds, undecoded."""
    return [stored async for stored in log.read_stored()]


async def projected(log: EventLog, directory: Path, deliveries: list[list[Stored]]) -> Digest:
    """Hand deliveries to a projector's writer, one after another, and return the digest of what it made."""
    ledger, index = Ledger.open(directory / "ledger.duckdb"), await Index.open(directory / "index")
    try:
        projector = Projector(log, ledger, index)
        for delivery in deliveries:
            await projector._write(delivery)
        return await digest_of(ledger, index)
    finally:
        index.close()
        ledger.close()


async def test_what_is_delivered_twice_or_late_changes_nothing(tmp_path: Path) -> None:
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        for text in SAID:
            await memory.user("ana").memorize([{"role": "user", "content": text}], wait=False)
        await memory.user("ana").settle()
        log: EventLog = memory._backend.log  # type: ignore[attr-defined]  # what a user has no need of
        whole = await messages(log)
        third = len(whole) // 3
        first, second, rest = whole[:third], whole[third : 2 * third], whole[2 * third :]
        once = await projected(log, tmp_path / "once", [whole])
        again = [first, first, first[: third // 2], second, first, first + second, second[:1], second + rest, rest]
        assert await projected(log, tmp_path / "again", again) == once


async def test_a_clock_that_was_set_back_changes_neither_order_nor_memory(tmp_path: Path) -> None:
    """Each event says that it happened an hour before the last one, and carries an id of a clock long ago."""
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        log: EventLog = memory._backend.log  # type: ignore[attr-defined]  # what a user has no need of
        ids = [_old_id(number) for number in range(20)]
        events = [
            t.CategoryCreated.of(
                BEN,
                p.CategoryCreatedData(
                    category_id=derived_id(one), name=f"shelf {number}", description="A shelf.", origin="user"
                ),
                id=one,
                time=NOW - timedelta(hours=number),
            )
            for number, one in enumerate(ids)
        ]
        done = [await log.append(event) for event in events]
        assert [one.position for one in done] == sorted(one.position for one in done)
        assert [await log.append(event) for event in events] == [one._replace(duplicate=True) for one in done]
        late = [{"role": "user", "content": text, "time": NOW - timedelta(days=n)} for n, text in enumerate(SAID)]
        for message in late:
            await memory.user("ben").memorize([message])
        await memory.user("ben").settle()
        assert {f"shelf {number}" for number in range(20)} <= {
            one.name for one in await memory.user("ben").categories()
        }
        assert {item.text for item in await memory.user("ben").items()} == set(SAID)
        verified = await memory.operate(o.Verify())
        assert verified.matches, verified.difference


def _old_id(number: int) -> str:
    """Return a UUIDv7 of 2020, each a minute before the last one."""
    moment = int((datetime(2020, 1, 1, tzinfo=UTC) - timedelta(minutes=number)).timestamp() * 1_000)
    tail = f"{random.Random(number).getrandbits(62) | 1 << 63:016x}"
    digits = f"{moment:012x}7000{tail}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
