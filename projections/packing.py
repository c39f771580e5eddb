"""Changes as Arrow tables: what both stores take as it is, and what goes to another process without being copied twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from .changes import Changes, Ending, IndexedVector, Row
from .schema import TABLES

KEYS: Final = [
    ("shelf", pa.string()),
    ("id", pa.string()),
    ("position", pa.int64()),
]


@dataclass
class Packed:
    """A batch's changes: rows by table, rows to end, vectors by space, and how many events and items they are."""

    rows: dict[str, pa.Table]
    endings: list[Ending]
    vectors: dict[str, pa.Table] = field(default_factory=dict)
    events: int = 0
    items: int = 0


def pack(changes: Changes, events: int = 0) -> Packed:
    """Return changes as tables."""
    return Packed(
        rows={table: pack_rows(table, rows) for table, rows in changes.rows.items()},
        endings=changes.endings,
        vectors=pack_vectors(changes.vectors),
        events=events,
        items=len(changes.rows.get("items", ())),
    )


def joined(parts: Sequence[Packed]) -> Packed:
    """Return the changes of several users' parts of one batch as one."""
    if len(parts) == 1:
        return parts[0]
    return Packed(
        rows=_concatenated([part.rows for part in parts]),
        endings=[ending for part in parts for ending in part.endings],
        vectors=_concatenated([part.vectors for part in parts]),
        events=sum(part.events for part in parts),
        items=sum(part.items for part in parts),
    )


def _concatenated(tables: Sequence[dict[str, pa.Table]]) -> dict[str, pa.Table]:
    names = dict.fromkeys(name for one in tables for name in one)
    return {name: pa.concat_tables([one[name] for one in tables if name in one]) for name in names}


def pack_rows(table: str, rows: Sequence[Row]) -> pa.Table:
    """Return rows of one of the ledger's tables."""
    schema = TABLES[table].arrow
    columns = zip(*rows, strict=True)
    return pa.table(
        [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def pack_vectors(vectors: Sequence[IndexedVector]) -> dict[str, pa.Table]:
    """Return vectors as the index holds them, by space."""
    spaces = dict.fromkeys(vector.space for vector in vectors)
    return {space: _vector_rows([one for one in vectors if one.space == space]) for space in spaces}


def shelf(scope: str, layer: str) -> str:
    """Return what the index filters by: scope and layer in one equality, served by one B-tree."""
    # Scope keys hold no quotes.
    return f"{scope}/{layer}"


def _vector_rows(rows: Sequence[IndexedVector]) -> pa.Table:
    raw = np.frombuffer(b"".join(row.vector for row in rows), dtype="<f2").astype(np.float32)
    return pa.table(
        {
            "shelf": [shelf(row.scope, row.layer) for row in rows],
            "id": [row.id for row in rows],
            "position": [row.position for row in rows],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(raw), raw.size // len(rows)),
        }
    )
