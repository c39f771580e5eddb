"""A proposal: which categories would become what, which would close, and why."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from memstream.events.ids import derived_id
from memstream.evolution.evidence import Evidence, Facts
from memstream.evolution.objective import Board
from memstream.evolution.structure import Shelf, Structure

Kind = Literal["merge", "split", "summarize", "refile", "create", "archive"]


@dataclass(frozen=True)
class Proposal:
    """One step that might be taken; ``becomes`` are categories new or changed, ``closes`` those that would end."""

    kind: Kind
    becomes: tuple[Shelf, ...]
    closes: tuple[str, ...]
    reason: str

    @property
    def touches(self) -> tuple[str, ...]:
        """The categories that the step changes, opens or closes."""
        return tuple(dict.fromkeys([*self.closes, *(shelf.id for shelf in self.becomes)]))

    @cached_property
    def fingerprint(self) -> str:
        """What identifies the step: the same change is the same proposal, whoever makes it."""
        contents = [f"{shelf.id}:{shelf.items}:{sorted(shelf.quoted)}" for shelf in self.becomes]
        return derived_id(self.kind, *sorted(contents), "closes", *sorted(self.closes))

    def apply(self, structure: Structure) -> Structure:
        """Return the structure as the step would leave it."""
        return structure.with_shelves(self.becomes, self.closes)


@dataclass(frozen=True)
class View:
    """What proposals are made from: a structure, scored on the older part of the recorded retrievals."""

    structure: Structure
    board: Board

    @property
    def facts(self) -> Facts:
        """The live statements."""
        return self.board.run.evidence.facts

    @property
    def evidence(self) -> Evidence:
        """The older retrievals of which something was used."""
        return self.board.run.evidence

    @cached_property
    def homes(self) -> dict[int, list[str]]:
        """The categories of each row."""
        return self.structure.homes()

    @cached_property
    def used(self) -> dict[int, float]:
        """How much each row was used."""
        counts: Counter[int] = Counter()
        for one in self.evidence.retrievals:
            counts.update(one.used)
        return {row: float(count) for row, count in counts.items()}

    @cached_property
    def missed(self) -> tuple[int, ...]:
        """The retrievals whose first file did not suffice: they were answered below the category level."""
        return tuple(number for number, alone in enumerate(self.board.readings.first_file) if not alone)

    def opened(self, rows: Iterable[int], name: str, description: str, quoted: frozenset[int]) -> Shelf:
        """Return a new category that holds some rows; the same rows give the same id."""
        held = tuple(sorted(rows))
        identifier = derived_id(self.evidence.scope, "evolution", *(self.facts.rows[row].id for row in held))
        return Shelf(identifier, name, description, held, quoted)


Proposer = Callable[[View], Iterable[Proposal]]
