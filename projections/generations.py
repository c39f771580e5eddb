"""Generations: the projections of one data directory, of which one is served.

Each is a folder with a ledger and an index. A replay fills a new one beside the serving one; one atomic rename of a
pointer file switches over; the old one stays until it is dropped, so that the switch can be taken back.
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Literal, NamedTuple

from memstream.events.errors import InvalidInput, NotFound

from .models import Generation

LEDGER = "ledger.duckdb"
INDEX = "index.lance"
_POINTER = "serving"
_NOTE = "generation.json"
_PREFIX = "g"


class _Note(NamedTuple):
    created: float
    position: int
    complete: bool


class Generations:
    """The generations under one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def serving(self) -> str:
        """Return the name of the serving generation; the first one is made when there is none."""
        try:
            name = (self.root / _POINTER).read_text().strip()
        except FileNotFoundError:
            return self._first()
        return name if name in self.names() else self._first()

    def names(self) -> list[str]:
        """Return the names of all generations, oldest first."""
        found = [path.name for path in self.root.glob(f"{_PREFIX}[0-9]*") if path.is_dir()]
        return sorted(found, key=lambda name: int(name.removeprefix(_PREFIX)))

    def path(self, name: str) -> Path:
        """Return a generation's directory; raise NotFound for an unknown one."""
        if name not in self.names():
            known = ", ".join(self.names()) or "none"
            raise NotFound(f"no generation {name!r}; there are {known}")
        return self.root / name

    def describe(self) -> list[Generation]:
        """Return all generations, oldest first."""
        serving = self.serving()
        return [self._describe(name, serving) for name in self.names()]

    def unfinished(self) -> str | None:
        """Return the generation that an interrupted replay left, to go on with."""
        building = [one.name for one in self.describe() if one.state == "building"]
        return building[-1] if building else None

    def create(self) -> str:
        """Make an empty generation and return its name."""
        numbers = [int(name.removeprefix(_PREFIX)) for name in self.names()]
        name = f"{_PREFIX}{max(numbers, default=0) + 1:06d}"
        (self.root / name).mkdir(parents=True)
        self.note(name, 0, complete=False)
        return name

    def note(self, name: str, position: int, *, complete: bool) -> None:
        """Write down how far a generation is, for those who list it without opening it."""
        path = self.root / name / _NOTE
        created = self._noted(name).created
        _replace(path, json.dumps({"created": created, "position": position, "complete": complete}))

    def switch(self, name: str) -> None:
        """Make a generation the serving one, atomically; raise InvalidInput for one that is not complete."""
        self.path(name)
        if not self._noted(name).complete:
            raise InvalidInput(f"generation {name} is not complete: 'memstream replay' goes on with it")
        _replace(self.root / _POINTER, name)

    def drop(self, name: str) -> None:
        """Delete a generation's files; the serving one is refused."""
        path = self.path(name)
        if name == self.serving():
            raise InvalidInput(f"generation {name} is being served: switch to another one before it is dropped")
        # Away from the listing first: what a crash leaves of it is not taken for a generation.
        trash = self.root / f"dropped-{name}-{time.time_ns()}"
        path.rename(trash)
        shutil.rmtree(trash)

    def drop_others(self) -> None:
        """Delete everything but the serving generation: also what was set aside, left over, or is a snapshot of it."""
        serving = self.serving()
        for path in self.root.iterdir():
            if path.is_dir() and path.name != serving:
                shutil.rmtree(path)
        for aside in (self.root / serving).glob("set-aside-*"):
            shutil.rmtree(aside)

    def previous(self) -> str:
        """Return the latest complete generation before the serving one; raise NotFound when there is none."""
        serving = self.serving()
        kept = [one.name for one in self.describe() if one.state == "kept"]
        older = [name for name in kept if name < serving] or kept
        if not older:
            raise NotFound("there is no other complete generation to go back to; 'memstream replay' makes one")
        return older[-1]

    def _first(self) -> str:
        """Point to the newest complete generation, or to a new one; also adopts files of the layout before these."""
        complete = [name for name in self.names() if self._noted(name).complete]
        name = complete[-1] if complete else self.create()
        for old in (LEDGER, f"{LEDGER}.wal", INDEX):
            if not complete and (self.root / old).exists():
                (self.root / old).rename(self.root / name / old)
        self.note(name, self._noted(name).position, complete=True)
        _replace(self.root / _POINTER, name)
        return name

    def _describe(self, name: str, serving: str) -> Generation:
        note = self._noted(name)
        kept: Literal["building", "kept"] = "kept" if note.complete else "building"
        size = sum(path.stat().st_size for path in (self.root / name).rglob("*") if path.is_file())
        state: Literal["serving", "building", "kept"] = "serving" if name == serving else kept
        return Generation(name=name, state=state, position=note.position, created=note.created, bytes=size)

    def _noted(self, name: str) -> _Note:
        try:
            note = json.loads((self.root / name / _NOTE).read_text())
            return _Note(float(note["created"]), int(note["position"]), bool(note["complete"]))
        except (OSError, ValueError, KeyError, TypeError):
            return _Note(time.time(), 0, complete=False)


def _replace(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old text or the new one, also after a power failure."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
