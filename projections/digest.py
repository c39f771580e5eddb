"""The canonical digest of a memory: one hash over the three layers, their lineage, file versions and vectors.

Read from DuckDB and LanceDB both. A table's digest is the hash of its rows' sorted hashes, so it depends on what the
rows say and on nothing else: not on batch sizes, row order, restarts or file layout. As of a position it leaves out
what was made later and forgets what ended later, which makes it the digest of a replay until there.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .index import Index
from .ledger import Ledger
from .models import Digest, TableDigest
from .schema import TABLES, Table

# Bookkeeping of this projection alone: a strict rebuild has none of it.
_LEFT_OUT = {"parked"}
_HASH_BYTES = 16
_HASHES = np.dtype(f"V{_HASH_BYTES}")


class _Row(NamedTuple):
    hash: bytes
    text: str


async def digest_of(ledger: Ledger, index: Index, *, scope: str | None = None, as_of: int | None = None) -> Digest:
    """Return the digest of everybody's memory, or of one scope's, as of a position (default: the present)."""
    moment = ledger.position if as_of is None else as_of
    tables = [
        await ledger.reading(_ledger_table, ledger, table, scope, moment)
        for name, table in sorted(TABLES.items())
        if name not in _LEFT_OUT
    ]
    tables += [await _index_table(index, name, scope, moment) for name in sorted(index.tables)]
    filled = tuple(table for table in tables if table.rows)
    summed = hashlib.sha256("".join(f"{one.name} {one.rows} {one.digest}\n" for one in filled).encode())
    return Digest(digest=summed.hexdigest(), position=moment, tables=filled)


async def first_difference(
    table: str, left: tuple[Ledger, Index], right: tuple[Ledger, Index], *, scope: str | None, as_of: int
) -> tuple[str | None, str | None]:
    """Return the first row, in the order of hashes, that only the left and that only the right has."""
    ours = [row async for row in _rows(table, *left, scope, as_of)]
    theirs = [row async for row in _rows(table, *right, scope, as_of)]
    return _first_without(ours, theirs), _first_without(theirs, ours)


def _first_without(rows: list[_Row], others: list[_Row]) -> str | None:
    known = {row.hash for row in others}
    return min((row for row in rows if row.hash not in known), default=_Row(b"", "")).text or None


async def _rows(table: str, ledger: Ledger, index: Index, scope: str | None, moment: int) -> AsyncIterator[_Row]:
    if table in TABLES:
        query, values = _query(TABLES[table], scope, moment)
        for (text,) in await ledger.reading(ledger.rows, query, values):
            yield _Row(_hash(text.encode()), text)
        return
    async for batch in index.scan(table.removeprefix("index/"), scope, moment):
        for row in batch.to_pylist():
            text = json.dumps(row, default=str)
            yield _Row(_hash(text.encode()), text)


def _ledger_table(ledger: Ledger, table: Table, scope: str | None, moment: int) -> TableDigest:
    query, values = _query(table, scope, moment)
    cursor = ledger.cursor().execute(query, values)
    hashes = bytearray()
    while rows := cursor.fetchmany(4_096):
        for (text,) in rows:
            hashes += _hash(text.encode())
    return _summed(table.name, hashes)


def _query(table: Table, scope: str | None, moment: int) -> tuple[str, list[str | int]]:
    """Write each row as JSON, as it was at a moment."""
    names = [name for name, _ in table.columns]
    made = "made" if "made" in names else "position"
    later = f"ended IS NOT NULL AND ended > {moment}"
    ends = {"ended", "end_reason", "successor"} if "ended" in names else set[str]()
    shown = {
        name: f"hex({name})"
        if kind == "BLOB"
        else f"CASE WHEN {later} THEN NULL ELSE {name} END"
        if name in ends
        else name
        for name, kind in table.columns
    }
    packed = ", ".join(f'"{name}" := {value}' for name, value in shown.items())
    where = f"{made} <= ?" + (" AND scope = ?" if scope is not None else "")
    values: list[str | int] = [moment] if scope is None else [moment, scope]
    return f"SELECT to_json(struct_pack({packed}))::VARCHAR FROM {table.name} WHERE {where}", values


async def _index_table(index: Index, name: str, scope: str | None, moment: int) -> TableDigest:
    hashes = bytearray()
    async for batch in index.scan(name, scope, moment):
        for row in _encoded(batch):
            hashes += _hash(row)
    return _summed(f"index/{name}", hashes)


def _encoded(batch: pa.RecordBatch) -> Iterator[bytes]:
    keys = zip(*(batch.column(name).to_pylist() for name in ("shelf", "id", "position")), strict=True)
    column = batch.column("vector")
    vectors: NDArray[np.float32] = np.asarray(column.flatten(), dtype="<f4").reshape(len(batch), -1)
    for key, vector in zip(keys, vectors, strict=True):
        yield json.dumps(key).encode() + b"\0" + vector.tobytes()


def _hash(row: bytes) -> bytes:
    return hashlib.blake2b(row, digest_size=_HASH_BYTES).digest()


def _summed(name: str, hashes: bytearray) -> TableDigest:
    found = np.frombuffer(bytes(hashes), dtype=_HASHES)
    return TableDigest(name=name, rows=len(found), digest=hashlib.sha256(_sorted(found).tobytes()).hexdigest())


def _sorted(hashes: NDArray[np.void]) -> NDArray[np.void]:
    """Sort hashes as two big-endian numbers each: numpy cannot order raw bytes."""
    numbers = hashes.view(">u8").reshape(-1, 2)
    return hashes[np.lexsort((numbers[:, 1], numbers[:, 0]))]
