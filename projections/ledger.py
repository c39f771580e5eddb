"""The DuckDB ledger: the authority on the three layers.

A projection's position is committed with its rows, in one transaction, and only rises. The file is disposable:
whatever is wrong with it, the log rebuilds it.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import duckdb
import pyarrow as pa

from memstream.events.errors import LogIntegrityError, MemstreamError

from .changes import Changes, Ending, Row
from .packing import Packed, pack_rows
from .schema import META_DDL, SCHEMA_VERSION, TABLES

_MEMORY_LIMIT = "128MB"
# One thread a query: most of ours take a millisecond, and handing them to a second thread takes another.
_THREADS = 1
_BULK_CHECKPOINT = "256MB"
# Below this many rows, bound values are faster than an Arrow batch (0.5 against 1.2 ms a table).
_FEW_ROWS = 8


# More threads than cores only hand the interpreter's lock around: six of them memorize 15 % less a second.
_READERS = 2

Parameters = Sequence[Any] | Mapping[str, Any]
P = ParamSpec("P")
T = TypeVar("T")


class LedgerOutdatedError(MemstreamError):
    """The file holds another schema version: set it aside and rebuild."""


class Ledger:
    """One ledger file and its single writer; every thread has its own cursor."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self._connection = connection
        self._local = threading.local()
        self._writer = self._new_cursor()
        self._reading = ThreadPoolExecutor(_READERS, "ledger-reading")
        self._writing = ThreadPoolExecutor(1, "ledger-writing")
        self.path = path
        self._position = 0

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the ledger file.

        Raises LedgerOutdatedError for another schema version, duckdb.Error for a damaged file.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": _MEMORY_LIMIT,
            "threads": _THREADS,
            "temp_directory": str(path.parent / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        connection = duckdb.connect(os.fspath(path), config=config)
        try:
            ledger = cls(connection, path)
            ledger._prepare()
        except BaseException:
            connection.close()
            raise
        return ledger

    def _prepare(self) -> None:
        cursor = self.cursor()
        cursor.execute(META_DDL)
        version = self.meta("schema_version")
        if version is not None and int(version) != SCHEMA_VERSION:
            raise LedgerOutdatedError(f"{self.path} holds schema version {version}, this is {SCHEMA_VERSION}")
        for table in TABLES.values():
            cursor.execute(table.ddl)
        if version is None:
            self._put_meta(cursor, {"schema_version": str(SCHEMA_VERSION), "position": "0"})
        self._position = int(self.meta("position") or 0)

    def meta(self, key: str) -> str | None:
        """Return a fact about the ledger itself; None when it is not known."""
        found = self.rows("SELECT value FROM meta WHERE key = ?", [key])
        return str(found[0][0]) if found else None

    def position_at(self, moment: datetime) -> int | None:
        """Return the position of the last event recorded at a time or before it; None before the first."""
        found = self.rows("SELECT max(position) FROM events WHERE recorded <= ?", [moment])[0][0]
        return None if found is None else int(found)

    @property
    def position(self) -> int:
        """The log position that the rows reflect."""
        return self._position

    def bind(self, log_id: str, last_position: int) -> None:
        """Tie the ledger to a log; raise LogIntegrityError when it was built from another or from a longer one."""
        known = self.meta("log_id")
        if known is not None and known != log_id:
            raise LogIntegrityError(
                f"{self.path} was built from log {known}, but the server holds log {log_id}: "
                "point memstream at the right server, or move the projection away to rebuild it from this log"
            )
        if self.position > last_position:
            raise LogIntegrityError(
                f"{self.path} is at position {self.position}, but the log ends at {last_position}: the log lost "
                "data; restore it from a backup, or move the projection away to accept the loss"
            )
        if known is None:
            self._put_meta(self.cursor(), {"log_id": log_id})

    @contextlib.contextmanager
    def bulk(self) -> Iterator[None]:
        """Let much more gather in the write-ahead log meanwhile: each checkpoint writes the tables' last parts anew."""
        self._connection.execute(f"SET checkpoint_threshold = '{_BULK_CHECKPOINT}'")
        try:
            yield
        finally:
            self._connection.execute("RESET checkpoint_threshold")

    def checkpoint(self) -> None:
        """Write everything into the one file, so that it can be copied."""
        self._writer.execute("CHECKPOINT")

    def remember(self, facts: Mapping[str, str]) -> None:
        """Write facts about the ledger itself; the writer's thread alone may call it."""
        self._put_meta(self._writer, facts)

    def stage(self, changes: Changes | Packed, position: int, meta: Mapping[str, str] | None = None) -> None:
        """Write changes into a transaction that readers don't see; ``publish`` or ``rollback`` must follow.

        The position must rise. One writer: the transaction belongs to the ledger, not to the thread, so that each step
        may have its own.
        """
        if position <= self.position:
            raise MemstreamError(f"the ledger is at {self.position} and cannot be set to {position}")
        self._writer.execute("BEGIN")
        for table, rows in changes.rows.items():
            self._insert(self._writer, table, rows)
        self._end(self._writer, changes.endings)
        self._put_meta(self._writer, {"position": str(position), **(meta or {})})

    def amend(self, changes: Changes, unparked: Sequence[int]) -> None:
        """Write changes of parked events behind the present position, and take these off the parking table."""
        writer = self._writer
        writer.execute("BEGIN")
        try:
            writer.execute("DELETE FROM parked WHERE list_contains(?::BIGINT[], position)", [list(unparked)])
            for table, rows in changes.rows.items():
                self._insert(writer, table, rows)
            self._end(writer, changes.endings)
            writer.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise

    def publish(self, position: int) -> None:
        """Commit what was staged up to ``position``."""
        self._writer.execute("COMMIT")
        self._position = position

    def rollback(self) -> None:
        """Drop what was staged; harmless when nothing is."""
        # DuckDB calls it an error when there is no transaction.
        with contextlib.suppress(duckdb.Error):
            self._writer.execute("ROLLBACK")

    def rows(self, query: str, values: Parameters = ()) -> list[tuple[Any, ...]]:
        """Run a query and return all its rows: a result left unfinished would block this thread's next query."""
        return self.cursor().execute(query, values).fetchall()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return this thread's cursor."""
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._local.cursor = self._new_cursor()
        return cursor

    def _new_cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = self._connection.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        return cursor

    async def reading(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking reads in one of the ledger's threads."""
        return await _run(self._reading, work, *args, **kwargs)

    async def writing(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking writes, and the reads that they need, in the writer's thread."""
        return await _run(self._writing, work, *args, **kwargs)

    def close(self) -> None:
        """Let the queries in work finish, write the ledger out and close it."""
        for pool in (self._reading, self._writing):
            pool.shutdown()
        # A full disk, or a database that gave up: what is committed is in its write-ahead log.
        with contextlib.suppress(duckdb.Error):
            self._connection.execute("CHECKPOINT")
        self._connection.close()

    @staticmethod
    def _insert(cursor: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row] | pa.Table) -> None:
        if not isinstance(rows, pa.Table) and len(rows) <= _FEW_ROWS:
            places = ", ".join([f"({', '.join('?' * len(rows[0]))})"] * len(rows))
            cursor.execute(f"INSERT INTO {table} VALUES {places}", [value for row in rows for value in row])
            return
        cursor.register("incoming", rows if isinstance(rows, pa.Table) else pack_rows(table, rows))
        try:
            cursor.execute(f"INSERT INTO {table} SELECT * FROM incoming")
        finally:
            cursor.unregister("incoming")

    @staticmethod
    def _end(cursor: duckdb.DuckDBPyConnection, endings: Sequence[Ending]) -> None:
        """End rows in order of position; ``made < position`` keeps a row that the same event made."""
        for ending in endings:
            where = " AND ".join(f"{column} = ?" for column in ending.columns)
            values: list[str | int | None] = [ending.position]
            extra = ""
            if ending.table == "items":
                extra, values = (
                    ", end_reason = ?, successor = ?",
                    [ending.position, ending.reason, ending.successor],
                )
            cursor.execute(
                f"UPDATE {ending.table} SET ended = ?{extra} "
                f"WHERE scope = ? AND {where} AND ended IS NULL AND made < ?",
                [*values, ending.scope, *ending.key, ending.position],
            )

    @staticmethod
    def _put_meta(cursor: duckdb.DuckDBPyConnection, values: Mapping[str, str]) -> None:
        for key, value in values.items():
            updated = cursor.execute("UPDATE meta SET value = ? WHERE key = ?", [value, key]).fetchall()
            if not updated[0][0]:
                cursor.execute("INSERT INTO meta VALUES (?, ?)", [key, value])


async def _run(pool: ThreadPoolExecutor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, partial(work, *args, **kwargs))
