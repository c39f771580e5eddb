"""Snapshots: copies of the projection, so that a service is up soon without replaying everything.

They are caches of the log and nothing more: one that does not fit is refused, and the log is replayed.
"""

import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import Any

from memstream.events.errors import InvalidInput, NotFound
from memstream.events.log import EventLog
from memstream.projections.digest import digest_of
from memstream.projections.generations import INDEX, LEDGER
from memstream.projections.schema import SCHEMA_VERSION

from . import operations as o
from .memory import MemoryProcess

_FOLDER = "snapshots"
_NOTE = "snapshot.json"


class Snapshots:
    """The snapshots of one memory process, beside its generations."""

    def __init__(self, log: EventLog, memory: MemoryProcess) -> None:
        self._log = log
        self._memory = memory
        self._root = memory.generations.root / _FOLDER

    async def create(self, name: str | None) -> o.Snapshot:
        """Copy the projection while its writer rests; raises InvalidInput for a name that is taken."""
        called = name or time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        folder = self._root / called
        if await asyncio.to_thread(folder.exists):
            raise InvalidInput(f"there is a snapshot {called!r} already: name another")
        await self._memory.projector.wait_for((await self._log.state()).last_position)
        half = folder.with_name(f".{called}.half")
        with self._memory.projection.use() as at:
            async with at.projector.resting():
                position = at.ledger.position
                await at.ledger.writing(at.ledger.checkpoint)
                source = self._memory.generations.path(at.name)
                await asyncio.to_thread(_copy, source, half)
            digest = await digest_of(at.ledger, at.index, as_of=position)
        note = {
            "position": position,
            "schema_version": SCHEMA_VERSION,
            "digest": digest.digest,
            "created": time.time(),
            "log_id": self._log.log_id,
        }
        await asyncio.to_thread((half / _NOTE).write_text, json.dumps(note))
        await asyncio.to_thread(half.rename, folder)
        return await asyncio.to_thread(_described, folder)

    async def list(self) -> list[o.Snapshot]:
        """Return all snapshots, oldest first."""
        found = await asyncio.to_thread(lambda: [_described(path) for path in sorted(self._root.glob("[!.]*"))])
        return sorted(found, key=lambda one: (one.created, one.name))

    async def usable(self, name: str) -> str | None:
        """Return why a snapshot cannot be served; None when it can. Raises NotFound for an unknown one."""
        note = await asyncio.to_thread(self._noted, name)
        if note["schema_version"] != SCHEMA_VERSION:
            return f"it is of schema version {note['schema_version']}, this is {SCHEMA_VERSION}"
        if note["log_id"] != self._log.log_id:
            return "it was made from another log"
        if note["position"] > (await self._log.state()).last_position:
            return "it is ahead of the log"
        return None

    async def restore(self, name: str) -> o.Restored:
        """Serve a copy of a snapshot as a new generation, which follows the log from there."""
        note = await asyncio.to_thread(self._noted, name)
        generations = self._memory.generations
        made = await asyncio.to_thread(generations.create)
        await asyncio.to_thread(_copy, self._root / name, generations.path(made))
        await asyncio.to_thread(generations.note, made, note["position"], complete=True)
        await self._memory.switch(made)
        return o.Restored(generation=made, position=self._memory.ledger.position, replayed=False)

    def _noted(self, name: str) -> dict[str, Any]:
        try:
            note: dict[str, Any] = json.loads((self._root / name / _NOTE).read_text())
        except (OSError, ValueError) as error:
            raise NotFound(f"no snapshot {name!r}; list them with 'memstream snapshot list'") from error
        return note


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target / INDEX, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source / LEDGER, target / LEDGER)
    if (source / INDEX).is_dir():
        shutil.copytree(source / INDEX, target / INDEX)


def _described(folder: Path) -> o.Snapshot:
    note = json.loads((folder / _NOTE).read_text())
    return o.Snapshot(
        name=folder.name,
        position=note["position"],
        schema_version=note["schema_version"],
        digest=note["digest"],
        created=note["created"],
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )
