"""The LanceDB index: full text and vectors of the three layers, scoped.

Rows are only appended, each with the position that made it; whether something is live the ledger knows. One table
holds the texts, one the vectors of each embedding space, so that a new space can be filled beside the old one.
Written before the ledger commits: rows beyond the ledger's position are what a crash left, and are cut off.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS, BTree
from numpy.typing import NDArray

from memstream.events.tasks import all_ended

from .bm25 import bm25
from .changes import IndexedText, IndexedVector
from .words import content_words

_KEYS: Final = [
    ("shelf", pa.string()),
    ("id", pa.string()),
    ("position", pa.int64()),
]
_TEXTS: Final = "texts"
# The defaults are gigabytes; an embedded memory shares its machine.
_CACHE_BYTES: Final = 24 * 1024 * 1024
# Each append is a fragment that every search has to visit; merging them takes a tenth of a second.
_OPTIMIZE_EVERY: Final = 24
_SCANNED_ROWS: Final = 4_096
_MANY_ROWS: Final = 2_000


class Match(NamedTuple):
    """A row that matched: its id, the position that made it, and its score (larger is better)."""

    id: str
    position: int
    score: float


class Index:
    """The index of one projection. One writer; searches may run beside it."""

    def __init__(self, connection: lancedb.AsyncConnection) -> None:
        self._connection = connection
        self._tables: dict[str, lancedb.AsyncTable] = {}
        self._writes: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
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

    async def write(self, texts: Sequence[IndexedText], vectors: Sequence[IndexedVector]) -> None:
        """Append rows; ``cut`` takes them off again should the ledger not commit."""
        spaces = sorted({vector.space for vector in vectors})
        writes = [self._write_vectors(space, [one for one in vectors if one.space == space]) for space in spaces]
        # Every write has ended before one's failure is told, so that a cut that follows finds all of their rows.
        await all_ended(self._write_texts(texts), *writes)

    async def _write_texts(self, texts: Sequence[IndexedText]) -> None:
        if not texts:
            return
        table = await self._texts()
        # A thread costs more than the rows of an ordinary commit, and less than those of a rebuild's.
        rows = _text_rows(texts) if len(texts) < _MANY_ROWS else await asyncio.to_thread(_text_rows, texts)
        await table.add(rows)
        for text in texts:
            shelf = _shelf(text.scope, text.layer)
            if shelf in self._sizes:
                self._sizes[shelf] += 1
        self._writes[_TEXTS] = self._writes.get(_TEXTS, 0) + 1

    async def _write_vectors(self, space: str, rows: Sequence[IndexedVector]) -> None:
        name = table_of(space)
        table = await self._vectors(name, len(rows[0].vector) // 2)
        packed = _vector_rows(rows) if len(rows) < _MANY_ROWS else await asyncio.to_thread(_vector_rows, rows)
        await table.add(packed)
        self._writes[name] = self._writes.get(name, 0) + 1

    async def cut(self, position: int) -> None:
        """Remove every row beyond ``position``."""
        self._sizes.clear()
        for table in self._tables.values():
            await table.delete(f"position > {position}")

    async def remove(self, positions: Sequence[int]) -> None:
        """Remove the rows that some positions made."""
        self._sizes.clear()
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
        """Create the indexes that a table lacks, over all its rows; tells whether it lacked any."""
        table = self._tables[name]
        present = {column for one in await table.list_indices() for column in one.columns}
        if lacking := self._searched(name) - present:
            await self._create_indexes(table, lacking)
        return bool(lacking)

    @staticmethod
    def _searched(name: str) -> set[str]:
        return {"shelf", "text"} if name == _TEXTS else {"shelf"}

    @staticmethod
    async def _create_indexes(table: lancedb.AsyncTable, columns: set[str]) -> None:
        for column in sorted(columns):
            config = FTS(with_position=False) if column == "text" else BTree()
            await table.create_index(column, config=config)

    async def search_text(
        self, scope: str, layer: str, query: str, limit: int, *, until: int | None = None
    ) -> list[Match]:
        """Return the best full-text matches of one layer of one scope, scored by that scope's own BM25.

        ``until`` searches as if nothing behind that position had been written.
        """
        words = content_words(query)
        wanted = " ".join(re.findall(r"\w+", query))
        if _TEXTS not in self._tables or not words:
            return []
        found = await (
            self._tables[_TEXTS]
            .query()
            .where(_shelf_is(scope, layer) + _until(until))
            .nearest_to_text(wanted, columns=["text"])
            .select(["id", "position", "text", "_score"])
            .limit(limit)
            .to_arrow()
        )
        rows = {f"{row['position']}/{row['id']}": row for row in found.to_pylist()}
        total = await self._shelf_size(_shelf(scope, layer), until)
        scores = bm25(words, {key: row["text"] for key, row in rows.items()}, total)
        return [Match(rows[key]["id"], rows[key]["position"], score) for key, score in scores.items()]

    async def search_vector(
        self, scope: str, layer: str, space: str, vector: NDArray[np.float32], limit: int, *, until: int | None = None
    ) -> list[Match]:
        """Return the nearest vectors of one layer of one scope; the score is the cosine similarity."""
        table = self._tables.get(table_of(space))
        if table is None:
            return []
        found = await (
            table.query()
            .where(_shelf_is(scope, layer) + _until(until))
            .nearest_to(vector)
            .distance_type("cosine")
            .select(["id", "position", "_distance"])
            .limit(limit)
            .to_arrow()
        )
        return [Match(row["id"], row["position"], 1.0 - float(row["_distance"])) for row in found.to_pylist()]

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
        if not len(found):
            return {}
        values = found["vector"].combine_chunks()
        matrix = np.asarray(values.flatten(), dtype=np.float32).reshape(len(found), -1)
        keys = zip(found["position"].to_pylist(), found["id"].to_pylist(), matrix, strict=True)
        newest = sorted(keys, key=lambda row: int(row[0]))
        return {identifier: vector for _, identifier, vector in newest}

    @property
    def tables(self) -> list[str]:
        """The names of the tables: the texts, and the vectors of each space."""
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
        self._connection.close()  # type: ignore[no-untyped-call]

    async def _shelf_size(self, shelf: str, until: int | None) -> int:
        """Count a shelf's texts, once: later writes are added."""
        if until is not None:
            return await self._tables[_TEXTS].count_rows(f"shelf = '{shelf}'" + _until(until))
        if shelf not in self._sizes:
            self._sizes[shelf] = await self._tables[_TEXTS].count_rows(f"shelf = '{shelf}'")
        return self._sizes[shelf]

    async def _texts(self) -> lancedb.AsyncTable:
        if _TEXTS not in self._tables:
            table = await self._connection.create_table(_TEXTS, schema=pa.schema([*_KEYS, ("text", pa.string())]))
            await self._add_table(_TEXTS, table)
        return self._tables[_TEXTS]

    async def _vectors(self, name: str, dimension: int) -> lancedb.AsyncTable:
        if name not in self._tables:
            schema = pa.schema([*_KEYS, ("vector", pa.list_(pa.float32(), dimension))])
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


def _shelf(scope: str, layer: str) -> str:
    # One column to filter by: scope and layer in one equality, served by one B-tree. Scope keys hold no quotes.
    return f"{scope}/{layer}"


def _shelf_is(scope: str, layer: str) -> str:
    return f"shelf = '{_shelf(scope, layer)}'"


def _until(position: int | None) -> str:
    return "" if position is None else f" AND position <= {position}"


def _text_rows(texts: Sequence[IndexedText]) -> pa.Table:
    return pa.table(
        {
            "shelf": [_shelf(row.scope, row.layer) for row in texts],
            "id": [row.id for row in texts],
            "position": [row.position for row in texts],
            "text": [row.text for row in texts],
        }
    )


def _vector_rows(rows: Sequence[IndexedVector]) -> pa.Table:
    raw = np.frombuffer(b"".join(row.vector for row in rows), dtype="<f2").astype(np.float32)
    return pa.table(
        {
            "shelf": [_shelf(row.scope, row.layer) for row in rows],
            "id": [row.id for row in rows],
            "position": [row.position for row in rows],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(raw), raw.size // len(rows)),
        }
    )
