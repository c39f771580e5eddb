"""The LanceDB index: the vectors of the three layers, scoped.

Rows are only appended, each with the position that made it; whether something is live the ledger knows. Each
embedding space has a table of its own, so that a new space can be filled beside the old one.
Written before the ledger commits: rows beyond the ledger's position are what a crash left, and are cut off.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import BTree
from numpy.typing import NDArray

from memstream.events.tasks import all_ended

from .packing import KEYS, shelf

# The defaults are gigabytes; an embedded memory shares its machine.
_CACHE_BYTES: Final = 24 * 1024 * 1024
# Each append is a fragment that every search has to visit; merging them takes a tenth of a second.
_OPTIMIZE_EVERY: Final = 24
_SCANNED_ROWS: Final = 4_096


class Index:
    """The index of one projection. One writer; searches may run beside it."""

    def __init__(self, connection: lancedb.AsyncConnection) -> None:
        self._connection = connection
        self._tables: dict[str, lancedb.AsyncTable] = {}
        self._writes: dict[str, int] = {}
        self._loading = False

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Make new tables without indexes: over all rows at once they cost a third less than in steps.

        ``optimize`` creates them, and so does the next start when it does not come to that.
        """
        self._loading = True
        try:
            yield
        finally:
            self._loading = False

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or create the index in a directory."""
        await asyncio.to_thread(path.mkdir, parents=True, exist_ok=True)
        session = lancedb.Session(index_cache_size_bytes=_CACHE_BYTES, metadata_cache_size_bytes=_CACHE_BYTES)
        index = cls(await lancedb.connect_async(str(path), session=session))
        for name in (await index._connection.list_tables()).tables:
            index._tables[name] = await index._connection.open_table(name)
            await index._complete(name)
        return index

    async def write(self, vectors: Mapping[str, pa.Table]) -> None:
        """Append rows, by space; ``cut`` takes them off again should the ledger not commit."""
        # Every write has ended before one's failure is told, so that a cut that follows finds all of their rows.
        await all_ended(*(self._write(space, rows) for space, rows in vectors.items()))

    async def _write(self, space: str, rows: pa.Table) -> None:
        name = table_of(space)
        table = await self._vectors(name, rows.schema.field("vector").type.list_size)
        await table.add(rows)
        self._writes[name] = self._writes.get(name, 0) + 1

    async def cut(self, position: int) -> None:
        """Remove every row beyond ``position``."""
        for table in self._tables.values():
            await table.delete(f"position > {position}")

    async def remove(self, positions: Sequence[int]) -> None:
        """Remove the rows that some positions made."""
        listed = ", ".join(str(position) for position in positions)
        for table in self._tables.values():
            await table.delete(f"position IN ({listed})")

    async def optimize(self, *, force: bool = False) -> bool:
        """Merge fragments and bring the indexes up to date where enough was written; tells whether it did."""
        due = [name for name, writes in self._writes.items() if writes >= _OPTIMIZE_EVERY or (force and writes)]
        for name in due:
            if not await self._complete(name):
                await self._tables[name].optimize()
            self._writes[name] = 0
        return bool(due)

    async def _complete(self, name: str) -> bool:
        """Create the index by scope where a table lacks it, over all its rows; tells whether it did."""
        table = self._tables[name]
        if any("shelf" in one.columns for one in await table.list_indices()):
            return False
        await table.create_index("shelf", config=BTree())
        return True

    async def vectors(
        self, scope: str, layer: str, space: str, *, after: int, until: int
    ) -> tuple[list[str], list[int], NDArray[np.float32]]:
        """Return ids, positions and vectors of one layer of one scope, between two positions, oldest first."""
        table = self._tables.get(table_of(space))
        if table is None:
            return [], [], np.zeros((0, 0), np.float32)
        between = f" AND position > {after} AND position <= {until}" if after else f" AND position <= {until}"
        query = table.query().where(_shelf_is(scope, layer) + between)
        found = await query.select(["id", "position", "vector"]).to_arrow()
        matrix = _matrix(found)
        order = np.argsort(found["position"].to_numpy(), kind="stable")
        ids, positions = found["id"].to_pylist(), found["position"].to_pylist()
        return [ids[row] for row in order], [positions[row] for row in order], matrix[order]

    async def vectors_of(
        self, scope: str, layer: str, space: str, ids: Iterable[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return the stored vectors of some ids, the newest of each."""
        table, wanted = self._tables.get(table_of(space)), sorted(set(ids))
        if table is None or not wanted:
            return {}
        listed = ", ".join("'" + identifier.replace("'", "''") + "'" for identifier in wanted)
        found = await (
            table.query()
            .where(f"{_shelf_is(scope, layer)} AND id IN ({listed})")
            .select(["id", "position", "vector"])
            .to_arrow()
        )
        keys = zip(found["position"].to_pylist(), found["id"].to_pylist(), _matrix(found), strict=True)
        newest = sorted(keys, key=lambda row: int(row[0]))
        return {identifier: vector for _, identifier, vector in newest}

    @property
    def tables(self) -> list[str]:
        """The names of the tables, one for each space."""
        return sorted(self._tables)

    async def scan(self, name: str, scope: str | None, until: int) -> AsyncIterator[pa.RecordBatch]:
        """Yield the rows of a table up to a position, of everybody or of one scope, in no particular order."""
        # A range instead of LIKE: a scope's key may hold the wildcards of SQL.
        wanted = "" if scope is None else f" AND shelf >= '{scope}/' AND shelf < '{scope}0'"
        query = self._tables[name].query().where(f"position <= {until}{wanted}")
        async for batch in await query.to_batches(max_batch_length=_SCANNED_ROWS):
            yield batch

    async def count(self) -> dict[str, int]:
        """Count the rows of each table."""
        return {name: await table.count_rows() for name, table in self._tables.items()}

    def close(self) -> None:
        """Close tables and connection."""
        for table in self._tables.values():
            table.close()  # type: ignore[no-untyped-call]  # lancedb leaves it unannotated
        self._connection.close()  # type: ignore[no-untyped-call]  # and this, too

    async def _vectors(self, name: str, dimension: int) -> lancedb.AsyncTable:
        if name not in self._tables:
            schema = pa.schema([*KEYS, ("vector", pa.list_(pa.float32(), dimension))])
            table = await self._connection.create_table(name, schema=schema)
            await self._add_table(name, table)
        return self._tables[name]

    async def _add_table(self, name: str, table: lancedb.AsyncTable) -> None:
        self._tables[name] = table
        if not self._loading:
            await self._complete(name)


def table_of(space: str) -> str:
    """Return the name of a space's table: safe as a file name, and still telling."""
    telling = re.sub(r"[^A-Za-z0-9_.-]", "_", space)
    # "a/b" and "a_b" are two spaces: the digest keeps their tables apart.
    return f"vectors_{telling}_{hashlib.sha256(space.encode()).hexdigest()[:8]}"


def _shelf_is(scope: str, layer: str) -> str:
    return f"shelf = '{shelf(scope, layer)}'"


def _matrix(found: pa.Table) -> NDArray[np.float32]:
    if not len(found):
        return np.zeros((0, 0), np.float32)
    values = found["vector"].combine_chunks()
    return np.asarray(values.flatten(), dtype=np.float32).reshape(len(found), -1)
