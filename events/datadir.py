"""The data directory: one owner at a time, held by a lock that dies with its holders."""

import errno
import fcntl
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import DataDirectoryInUse, InvalidInput, StorageFull

# A killed owner's server needs a moment to stop; until then it holds the lock too.
_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.02


class DataDirectory:
    """An exclusive claim on a directory.

    The claim is a file lock that child processes inherit on purpose: it ends only when the owner *and* the NATS server it started are gone, so two servers never share a store.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def claim(cls, path: str | os.PathLike[str]) -> Self:
        """Create the directory if need be and claim it.

        Raises DataDirectoryInUse when another process owns it, InvalidInput when it can't be a directory.
        """
        root = Path(path).expanduser().resolve()
        try:
            root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(root / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"cannot create {str(root)!r}: the disk is full") from error
            raise InvalidInput(f"{str(root)!r} cannot be a data directory: {error.strerror}") from error
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _try_lock(descriptor):
            owner = owner_of(root)
            if (owner is not None and _alive(owner)) or time.monotonic() > deadline:
                os.close(descriptor)
                raise DataDirectoryInUse(
                    f"data directory {str(root)!r} is in use by process {owner}; stop it, "
                    "connect to it with Memory.connect(url), or open another directory"
                )
            time.sleep(_POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid()}).encode(), 0)
        return cls(root, descriptor)

    def release(self) -> None:
        """Give the directory up; harmless when repeated."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def owner_of(root: Path) -> int | None:
    """Return the process id that last claimed the directory; None when nobody has."""
    try:
        return int(json.loads((root / "owner.lock").read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _zombie(pid)


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
