"""Carrying a log from one machine to another: one tar file, readable without memstream.

``events/*.ndjson`` hold an event a line, in the order of the log; ``resources/<scope>/<sha256>`` the bytes of the
resources; ``manifest.json`` comes last and names the SHA-256 of every file, so that a file that was cut off, changed
or is something else is refused before anything is written. Events keep their ids: importing twice adds nothing.
"""

import asyncio
import hashlib
import io
import json
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from memstream import __version__
from memstream.events import types as t
from memstream.events.errors import InvalidEvent, InvalidInput, StorageFull
from memstream.events.log import EventLog
from memstream.events.subjects import Scope
from memstream.events.types import Event, decode

from . import operations as o
from .operations import Progress, Told
from .relocation import Relocation

_FORMAT = 1
_PART_EVENTS = 5_000
_MANIFEST = "manifest.json"
_CHUNK = 256 * 1024
# They speak of this log's own messages: what they led to is in what the others say now.
_LEFT_BEHIND = (
    *("user.erased", "history.erased", "event.redacted", "event.dropped"),
    *("space.prepared", "space.activated"),
)


class _Line(NamedTuple):
    position: int
    event: Event


async def export_log(log: EventLog, path: Path, scope: Scope | None, dropped: frozenset[int], told: Told) -> o.Exported:
    """Write the log up to its present end, or one user's part of it, into a new file."""
    if await asyncio.to_thread(path.exists):
        raise InvalidInput(f"{str(path)!r} exists: name a new file")
    if not await asyncio.to_thread(path.parent.is_dir):
        raise InvalidInput(f"{str(path.parent)!r} is no directory")
    half = path.with_name(f".{path.name}.half")
    try:
        with tarfile.open(half, "w") as tar:
            done = await _Writer(log, tar, told).write(scope, dropped)
        await asyncio.to_thread(half.replace, path)
    except OSError as error:
        raise StorageFull(f"{str(path)!r} cannot be written: {error.strerror}") from error
    finally:
        await asyncio.to_thread(half.unlink, missing_ok=True)
    return done.model_copy(update={"path": str(path), "bytes": (await asyncio.to_thread(path.stat)).st_size})


class _Writer:
    def __init__(self, log: EventLog, tar: tarfile.TarFile, told: Told) -> None:
        self._log = log
        self._tar = tar
        self._told = told
        self._sums: dict[str, str] = {}
        self._resources: set[tuple[Scope, str]] = set()

    async def write(self, scope: Scope | None, dropped: frozenset[int]) -> o.Exported:
        state = await self._log.state()
        started, events, part = time.perf_counter(), 0, 0
        lines: list[bytes] = []
        async for line in self._events(scope, state.last_position, dropped):
            lines.append(_encoded(line))
            events += 1
            if len(lines) == _PART_EVENTS:
                part += 1
                await self._add(f"events/{part:06d}.ndjson", io.BytesIO(b"".join(lines)))
                lines = []
                self._tell(line.position, state.last_position, events, started)
        if lines:
            await self._add(f"events/{part + 1:06d}.ndjson", io.BytesIO(b"".join(lines)))
        for owner, digest in sorted(self._resources):
            with tempfile.TemporaryFile() as content:
                await self._log.resources.get(owner, digest, cast("BinaryIO", content))
                await self._add(f"resources/{owner.key}/{digest}", cast("BinaryIO", content))
        manifest = {
            "format": _FORMAT,
            "memstream": __version__,
            "log_id": state.log_id,
            "until": state.last_position,
            "tenant": scope.tenant if scope else None,
            "user": scope.user if scope else None,
            "events": events,
            "resources": len(self._resources),
            "sha256": dict(self._sums),
        }
        await self._add(_MANIFEST, io.BytesIO(json.dumps(manifest, indent=1).encode()))
        self._tell(state.last_position, state.last_position, events, started)
        return o.Exported(path="", events=events, resources=len(self._resources), until=state.last_position, bytes=0)

    async def _events(self, scope: Scope | None, until: int, dropped: frozenset[int]) -> AsyncIterator[_Line]:
        async for stored in self._log.read_stored(until=until, scope=scope):
            if stored.position in dropped:
                continue
            try:
                event = stored.decode()
            except InvalidEvent:
                # Not an event of ours: another log has no use for it.
                continue
            if event.type in _LEFT_BEHIND:
                continue
            if isinstance(event, t.ResourceIngested):
                self._resources.add((event.scope, event.data.digest))
            yield _Line(stored.position, event)

    async def _add(self, name: str, content: BinaryIO) -> None:
        size, digest = await asyncio.to_thread(_measured, content)
        info = tarfile.TarInfo(name)
        info.size, info.mtime = size, int(time.time())
        await asyncio.to_thread(self._tar.addfile, info, content)
        self._sums[name] = digest

    def _tell(self, position: int, until: int, events: int, started: float) -> None:
        seconds = round(time.perf_counter() - started, 3)
        self._told(Progress(phase="exporting", done=position, total=until, events=events, seconds=seconds))


async def import_log(log: EventLog, path: Path, tenant: str | None, told: Told) -> o.Imported:
    """Append what an export holds; what is there already stays as it is. Raises InvalidInput before any change."""
    manifest = await asyncio.to_thread(_checked, path, tenant)
    relocation, started, done = Relocation(log), time.perf_counter(), 0
    resources = 0
    with tarfile.open(path) as tar:
        # The bytes first: an event whose resource is missing would be extracted in vain.
        for name, content in await asyncio.to_thread(lambda: list(_members(tar, "resources/"))):
            with content:
                key, _, _ = name.removeprefix("resources/").rpartition("/")
                stored = await log.resources.put(Scope.from_key(key), content)
                resources += not stored.known
        for _, content in _members(tar, "events/"):
            with content:
                for line in await asyncio.to_thread(content.readlines):
                    await relocation.add(*_decoded(line))
                    done += 1
            told(
                Progress(
                    phase="importing",
                    done=done,
                    total=int(manifest["events"]),
                    events=done,
                    seconds=round(time.perf_counter() - started, 3),
                )
            )
    await relocation.flush()
    return o.Imported(events=done, added=relocation.added, resources_added=resources, position=relocation.position)


def _checked(path: Path, tenant: str | None) -> dict[str, Any]:
    """Read a whole file, compare every checksum and return its manifest; raise InvalidInput for anything wrong."""
    sums: dict[str, str] = {}
    manifest: dict[str, Any] = {}
    try:
        with tarfile.open(path) as tar:
            for name, content in _members(tar, ""):
                with content:
                    if name == _MANIFEST:
                        manifest = json.loads(content.read())
                    else:
                        _, sums[name] = _measured(content)
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise InvalidInput(f"{str(path)!r} is damaged, or no export of memstream: {error}") from error
    if manifest.get("format") != _FORMAT or not isinstance(manifest.get("sha256"), dict):
        raise InvalidInput(f"{str(path)!r} is no export of memstream, or was cut off: it has no manifest at its end")
    if wrong := sorted(set(sums.items()) ^ set(manifest["sha256"].items())):
        raise InvalidInput(f"{str(path)!r} is damaged: {wrong[0][0]} does not have the checksum of the manifest")
    if tenant is not None and manifest.get("tenant") != tenant:
        raise InvalidInput(f"{str(path)!r} is of tenant {manifest.get('tenant') or 'all'!r}, not of {tenant!r}")
    return manifest


def _members(tar: tarfile.TarFile, prefix: str) -> Iterator[tuple[str, BinaryIO]]:
    for member in tar:
        if member.name.startswith(prefix) and member.isfile():
            content = tar.extractfile(member)
            assert content is not None
            yield member.name, cast("BinaryIO", content)


def _measured(content: BinaryIO) -> tuple[int, str]:
    content.seek(0)
    hasher, size = hashlib.sha256(), 0
    while chunk := content.read(_CHUNK):
        hasher.update(chunk)
        size += len(chunk)
    content.seek(0)
    return size, hasher.hexdigest()


def _encoded(line: _Line) -> bytes:
    event = line.event
    assert event.recorded is not None
    body = event.model_copy(update={"position": 0, "recorded": None}).encode().decode()
    return f'{{"position":{line.position},"recorded":"{event.recorded.isoformat()}","event":{body}}}\n'.encode()


def _decoded(line: bytes) -> tuple[int, Event]:
    document = json.loads(line)
    event = decode(json.dumps(document["event"]))
    return int(document["position"]), event.model_copy(
        update={"recorded": datetime.fromisoformat(document["recorded"])}
    )
