"""A projection at work: one generation's stores, its projector, and recall over it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import duckdb

from memstream.events.errors import Unavailable
from memstream.events.log import EventLog

from .generations import INDEX, LEDGER
from .index import Index
from .ledger import Ledger, LedgerOutdatedError
from .projector import Commit, Projector
from .recall import Recall

logger = logging.getLogger("memstream.projections")


class Projection:
    """One generation, open. ``use`` it while reading, so that ``retire`` closes it under nobody."""

    def __init__(self, log: EventLog, name: str, ledger: Ledger, index: Index) -> None:
        self.name = name
        self.ledger = ledger
        self.index = index
        self.projector = Projector(log, ledger, index)
        self.recall = Recall(ledger, index)
        self.projector.listen(self._recall)
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @classmethod
    async def open(cls, log: EventLog, directory: Path) -> Self:
        """Open a generation's stores; damaged or outdated ones are moved aside, and the log rebuilds them."""
        ledger, index = await _open_or_renew(directory)
        return cls(log, directory.name, ledger, index)

    def _recall(self, commit: Commit) -> None:
        self.recall.commit(commit.changes, commit.position, behind=commit.amended)

    @contextlib.contextmanager
    def use(self) -> Iterator[Self]:
        """Keep the stores open while something is read from them."""
        self._users += 1
        self._unused.clear()
        try:
            yield self
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def retire(self) -> None:
        """Stop following the log, and close the stores once nobody reads from them any more."""
        await self.projector.stop()
        await self._unused.wait()
        await self.close()

    async def close(self) -> None:
        """Finish the batch in work and close the stores."""
        await self.projector.stop()
        self.index.close()
        await asyncio.to_thread(self.ledger.close)


async def open_stores(directory: Path) -> tuple[Ledger, Index]:
    """Open a ledger and its index together; whoever opens them closes both."""
    ledger = await asyncio.to_thread(Ledger.open, directory / LEDGER)
    try:
        return ledger, await Index.open(directory / INDEX)
    except BaseException:
        ledger.close()
        raise


async def _open_or_renew(directory: Path) -> tuple[Ledger, Index]:
    """Open both stores; when either is unusable both are moved aside, and the log rebuilds them."""
    try:
        return await _open_reconciled(directory)
    except (duckdb.Error, LedgerOutdatedError, RuntimeError, ValueError) as error:
        if isinstance(error, duckdb.IOException) and "lock" in str(error).lower():
            raise Unavailable(f"{directory / LEDGER} is open in another process: {error}") from error
        aside = await asyncio.to_thread(_move_aside, directory)
        logger.warning("the projection could not be opened (%s); moved to %s, rebuilding from the log", error, aside)
    return await _open_reconciled(directory)


async def _open_reconciled(directory: Path) -> tuple[Ledger, Index]:
    """Open both stores and cut off what the index holds beyond the ledger; this also finds lost data files."""
    ledger, index = await open_stores(directory)
    try:
        await index.cut(ledger.position)
    except BaseException:
        index.close()
        ledger.close()
        raise
    return ledger, index


def _move_aside(directory: Path) -> Path:
    aside = directory / f"set-aside-{time.time_ns()}"
    aside.mkdir(parents=True)
    for path in (directory / LEDGER, directory / f"{LEDGER}.wal", directory / INDEX):
        if path.exists():
            path.rename(aside / path.name)
    return aside
