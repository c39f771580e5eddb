"""Full disks, damaged files, foreign logs: said clearly, repaired from the log where that is possible."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from memstream import AsyncMemory
from memstream.events.errors import LogIntegrityError, MemstreamError, StorageFull

SAID = [{"role": "user", "content": "My bicycle is green."}]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 24 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_a_full_disk_is_said_and_what_was_acknowledged_is_there_once_there_is_space(small_disk: Path) -> None:
    async with await AsyncMemory.open(small_disk / "data") as memory:
        user = memory.user("ana")
        await user.memorize(SAID)
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):  # noqa: PT012 - it fails when it fails
            while True:
                file.write(bytes(65_536))
        with pytest.raises(StorageFull, match="free space, restart"):
            await user.memorize("A long story. " * 20_000, timeout=5)
        assert [item.text for item in await user.items()] == ["My bicycle is green."]
    # nats-server stays read-only after a full disk until it is restarted: the error says so.
    filler.unlink()
    async with await AsyncMemory.open(small_disk / "data") as memory:
        user = memory.user("ana")
        done = await user.memorize([{"role": "user", "content": "My helmet is yellow."}], timeout=60)
        assert done.resource.status == "ready"
        assert {"My bicycle is green.", "My helmet is yellow."} <= {item.text for item in await user.items()}


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    from memstream.events.datadir import DataDirectory

    (tmp_path / "file").write_text("")
    with pytest.raises(MemstreamError, match="cannot be a data directory"):
        DataDirectory.claim(tmp_path / "file" / "data")


@pytest.mark.parametrize("victim", ["ledger.duckdb", "index.lance"])
async def test_a_damaged_projection_is_moved_aside_and_rebuilt_from_the_log(tmp_path: Path, victim: str) -> None:
    async with await AsyncMemory.open(tmp_path) as memory:
        user = memory.user("ana")
        await user.memorize(SAID)
        await user.settle()
        before = [item.model_dump() for item in await user.items()]
    target = tmp_path / "projection" / "g000001" / victim
    if target.is_dir():
        for manifest in target.rglob("*.manifest"):
            manifest.write_bytes(manifest.read_bytes()[: manifest.stat().st_size // 2])
    else:
        target.write_bytes(b"this is no database" * 500)
    async with await AsyncMemory.open(tmp_path) as memory:
        user = memory.user("ana")
        await user.settle()
        assert [item.model_dump() for item in await user.items()] == before
        assert (await user.retrieve("Which colour has the bicycle?")).items
    assert list((tmp_path / "projection" / "g000001").glob("set-aside-*"))


async def test_a_deleted_projection_is_rebuilt_from_the_log(tmp_path: Path) -> None:
    async with await AsyncMemory.open(tmp_path) as memory:
        user = memory.user("ana")
        await user.memorize(SAID)
        await user.settle()
        before = [item.model_dump() for item in await user.items()]
        files = [file.text for file in await user.files()]
    shutil.rmtree(tmp_path / "projection")
    async with await AsyncMemory.open(tmp_path) as memory:
        user = memory.user("ana")
        await user.settle()
        assert [item.model_dump() for item in await user.items()] == before
        assert [file.text for file in await user.files()] == files


async def test_a_projection_of_another_log_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        async with await AsyncMemory.open(tmp_path / name) as memory:
            await memory.user("ana").memorize(SAID)
    shutil.rmtree(tmp_path / "one" / "projection")
    shutil.copytree(tmp_path / "two" / "projection", tmp_path / "one" / "projection")
    with pytest.raises(LogIntegrityError, match="was built from log"):
        await AsyncMemory.open(tmp_path / "one")


async def test_a_log_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        await memory.user("ana").memorize(SAID)
    shutil.copytree(tmp_path / "data" / "nats", tmp_path / "backup")
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        await memory.user("ana").memorize([{"role": "user", "content": "My helmet is yellow."}])
    shutil.rmtree(tmp_path / "data" / "nats")
    shutil.copytree(tmp_path / "backup", tmp_path / "data" / "nats")
    with pytest.raises(LogIntegrityError, match="the log lost data"):
        await AsyncMemory.open(tmp_path / "data")
