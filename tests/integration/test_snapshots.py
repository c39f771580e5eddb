"""Snapshots are caches that never lie; an export carries everything, twice if need be."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from memstream import AsyncMemory
from memstream.events.errors import InvalidInput, NotFound
from memstream.services import operations as o

QUESTION = "What does Ana do on weekends?"


async def filled(memory: AsyncMemory, conversation: list[dict[str, Any]], *users: str) -> None:
    """Memorize the conversation for each user, ask, and wait until everything is written."""
    for user in users:
        one = memory.user(user)
        await one.memorize(conversation, name=f"chat of {user}")
        await one.retrieve(QUESTION)
        await one.settle()


async def test_a_snapshot_and_its_tail_are_a_full_replay(memory: AsyncMemory, conversation) -> None:
    await filled(memory, conversation, "ana")
    before = await memory.operate(o.TakeDigest())
    kept = await memory.operate(o.CreateSnapshot(name="first"))
    assert kept.digest == before.digest
    await filled(memory, conversation, "ben")
    now = await memory.operate(o.TakeDigest())
    restored = await memory.operate(o.RestoreSnapshot(name="first"))
    assert not restored.replayed
    assert await memory.operate(o.TakeDigest()) == now
    assert (await memory.operate(o.Verify())).matches
    assert [one.name for one in await memory.operate(o.ListSnapshots())] == ["first"]
    with pytest.raises(InvalidInput, match="already"):
        await memory.operate(o.CreateSnapshot(name="first"))
    with pytest.raises(NotFound, match="second"):
        await memory.operate(o.RestoreSnapshot(name="second"))


async def test_a_snapshot_of_another_schema_is_refused_and_rebuilt(
    memory: AsyncMemory, conversation, tmp_path: Path
) -> None:
    await filled(memory, conversation, "ana")
    await memory.operate(o.CreateSnapshot(name="old"))
    (note,) = tmp_path.rglob("snapshot.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"schema_version": 1}))
    now = await memory.operate(o.TakeDigest())
    restored = await memory.operate(o.RestoreSnapshot(name="old"))
    assert restored.replayed
    assert "schema version 1" in str(restored.reason)
    assert await memory.operate(o.TakeDigest()) == now


async def test_an_export_makes_the_same_memory_elsewhere(memory: AsyncMemory, conversation, tmp_path: Path) -> None:
    await filled(memory, conversation, "ana", "ben")
    file = tmp_path / "all.tar"
    made = await memory.operate(o.Export(path=str(file)))
    assert made.resources == 2
    digest = (await memory.operate(o.TakeDigest())).digest
    async with await AsyncMemory.open(tmp_path / "elsewhere") as other:
        first = await other.operate(o.Import(path=str(file)))
        assert first.added == first.events == made.events
        await other.user("ana").settle()
        assert (await other.operate(o.TakeDigest())).digest == digest
        again = await other.operate(o.Import(path=str(file)))
        assert (again.added, again.resources_added) == (0, 0)
        assert (await other.user("ben").retrieve(QUESTION)).items[0].text == (
            await memory.user("ben").retrieve(QUESTION)
        ).items[0].text
        assert (await other.operate(o.Verify())).matches


async def test_one_users_export_carries_nobody_else(memory: AsyncMemory, conversation, tmp_path: Path) -> None:
    await filled(memory, conversation, "ben", "ana", "cleo")
    file = tmp_path / "ana.tar"
    await memory.operate(o.Export(user="ana", path=str(file)))
    with tarfile.open(file) as tar:
        lines = [
            json.loads(line)
            for name in tar.getnames()
            if name.startswith("events/")
            for line in tar.extractfile(name) or ()
        ]
    assert {line["event"]["user"] for line in lines} == {"ana"}
    async with await AsyncMemory.open(tmp_path / "elsewhere") as other:
        await other.operate(o.Import(path=str(file), only_tenant="default"))
        await other.user("ana").settle()
        assert {item.id for item in await other.user("ana").items()} == {
            item.id for item in await memory.user("ana").items()
        }
        assert {file.text for file in await other.user("ana").files()} == {
            file.text for file in await memory.user("ana").files()
        }
        assert (await other.operate(o.Verify())).matches


async def test_what_is_no_export_changes_nothing(memory: AsyncMemory, conversation, tmp_path: Path) -> None:
    await filled(memory, conversation, "ana")
    file = tmp_path / "ana.tar"
    await memory.operate(o.Export(user="ana", path=str(file)))
    with pytest.raises(InvalidInput, match="exists"):
        await memory.operate(o.Export(path=str(file)))
    whole = file.read_bytes()
    async with await AsyncMemory.open(tmp_path / "elsewhere") as other:
        for name, content in {
            "cut": whole[: len(whole) // 2],
            "changed": whole.replace(b"climbing", b"swimming"),
            "foreign": b"PK\x03\x04 something else",
            "empty": b"",
        }.items():
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InvalidInput, match=name):
                await other.operate(o.Import(path=str(tmp_path / name)))
        with pytest.raises(InvalidInput, match="nowhere"):
            await other.operate(o.Import(path=str(tmp_path / "nowhere")))
        with pytest.raises(InvalidInput, match="tenant"):
            await other.operate(o.Import(path=str(file), only_tenant="acme"))
        assert (await other.user("ana").status()).log_position == 0
