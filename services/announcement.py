"""How the command line finds a service that runs on a data directory: a note that the service leaves there.

Light on purpose: a command that talks to a running service loads neither a database nor a server.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_NOTE = "service.json"


class Running(NamedTuple):
    """Where a running service can be reached."""

    url: str
    pid: int


def running_service(data_dir: Path) -> Running | None:
    """Return the service that runs on a data directory of this machine; None when there is none."""
    try:
        note = json.loads((data_dir / _NOTE).read_text())
        os.kill(int(note["pid"]), 0)
        return Running(str(note["url"]), int(note["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def announced(data_dir: Path, url: str) -> Iterator[None]:
    """Leave a note in the data directory, so that the command line finds the service by itself."""
    if not data_dir.is_dir():
        yield
        return
    note = data_dir / _NOTE
    note.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    try:
        yield
    finally:
        note.unlink(missing_ok=True)
