"""A structure of categories as a value: what evolution proposes to change, without changing anything.

Statements are numbered by their rows in the evidence. Every row is on at least one shelf, before and after.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

from memstream.events.errors import InvalidInput

Rows = tuple[int, ...]


@dataclass(frozen=True)
class Shelf:
    """A category: its directory entry, the rows that it holds in order, and those that its file quotes."""

    id: str
    name: str
    description: str
    items: Rows
    quoted: frozenset[int]
    origin: str = "evolution"

    @cached_property
    def complete(self) -> bool:
        """Whether the file quotes all that the category holds, so that nothing is left to read behind it."""
        return self.quoted.issuperset(self.items)


@dataclass(frozen=True)
class Structure:
    """All shelves of one memory, oldest first."""

    shelves: Mapping[str, Shelf] = field(default_factory=dict)

    @classmethod
    def of(cls, shelves: Iterable[Shelf]) -> Self:
        """Return the structure of some shelves."""
        return cls({shelf.id: shelf for shelf in shelves})

    def homes(self) -> dict[int, list[str]]:
        """Return the shelves of each row."""
        found: dict[int, list[str]] = {}
        for shelf in self.shelves.values():
            for row in shelf.items:
                found.setdefault(row, []).append(shelf.id)
        return found

    def with_shelves(self, becomes: Iterable[Shelf], closes: Iterable[str] = ()) -> "Structure":
        """Return the structure with some shelves new or changed, and some gone; raise InvalidInput if a row gets lost."""
        after = dict(self.shelves)
        touched: set[int] = set()
        for one in closes:
            touched |= set(after.pop(one).items)
        for shelf in becomes:
            if (before := after.get(shelf.id)) is not None:
                touched |= set(before.items)
            after[shelf.id] = shelf
        kept = {row for shelf in after.values() for row in shelf.items}
        if lost := touched - kept:
            raise InvalidInput(f"the step would leave {len(lost)} statements in no category")
        return replace(self, shelves=after)
