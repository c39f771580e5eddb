"""What one event does to the three layers: rows to add, rows to end, and vectors to index."""

from dataclasses import dataclass, field
from typing import NamedTuple

Value = str | int | float | bool | bytes | None | list[str] | object
Row = tuple[Value, ...]


# Tables whose rows decide what a category's file should say.
_STRUCTURAL = ("items", "links", "categories", "vectors")


class Ending(NamedTuple):
    """End the live rows of ``table`` in ``scope`` whose ``columns`` equal ``key``, at ``position``."""

    table: str
    scope: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    position: int
    reason: str | None = None
    successor: str | None = None


class IndexedVector(NamedTuple):
    """A vector of one space, little-endian float16."""

    scope: str
    layer: str
    id: str
    position: int
    space: str
    vector: bytes


@dataclass
class Changes:
    """An ordered set of changes; ``extend`` puts those of a later event behind."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    endings: list[Ending] = field(default_factory=list)
    vectors: list[IndexedVector] = field(default_factory=list)
    # Resources that this may have brought closer to being retrievable.
    touched: set[str] = field(default_factory=set)

    def add(self, table: str, *row: Value) -> None:
        """Append a row, in the table's column order."""
        self.rows.setdefault(table, []).append(row)

    def restructured(self) -> frozenset[str]:
        """Return the scopes whose structure or items changed: their category files may have become stale."""
        return frozenset(str(row[0]) for table in _STRUCTURAL for row in self.rows.get(table, ()))

    def extend(self, other: "Changes") -> None:
        """Append another event's changes."""
        for table, rows in other.rows.items():
            self.rows.setdefault(table, []).extend(rows)
        self.endings += other.endings
        self.vectors += other.vectors
        self.touched |= other.touched
