"""Policies: what is proposed, how it is ordered and what is asked of it. Settings, and code behind one protocol."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from memstream.events.errors import InvalidInput
from memstream.events.payloads import Frozen

from .naming import named
from .objective import Board
from .proposals import PROPOSERS, Kind, Proposal, View
from .quoting import quoted
from .trial import Bar, Verdict, judge

_ALL: Final[tuple[Kind, ...]] = ("create", "split", "merge", "refile", "summarize", "archive")


class Settings(Frozen):
    """A policy's settings.

    ``older`` is the share of retrievals that proposals are chosen on; the rest judges. ``trials`` is the budget of a
    run, ``retrievals`` how many of the latest ones are looked at. ``rest`` is how many retrievals have to be recorded
    before what one step made may be undone by its opposite.
    """

    kinds: tuple[Kind, ...] = _ALL
    older: float = 0.5
    confidence: float = 0.95
    improvement: float = 0.0
    recall_loss: float = 0.0
    fewest: int = 8
    trials: int = 40
    rest: int = 50
    retrievals: int = 3_000

    @property
    def bar(self) -> Bar:
        """What a proposal has to show."""
        return Bar(self.confidence, self.improvement, self.recall_loss, self.fewest)


class Policy(Protocol):
    """How a memory evolves."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def description(self) -> str:
        """What it does, in a line."""
        ...

    @property
    def settings(self) -> Settings:
        """Its numbers."""
        ...

    def propose(self, view: View) -> Iterable[Proposal]:
        """Return what might be done."""
        ...

    def decide(self, before: Board, after: Board) -> Verdict:
        """Judge a proposal on the newer part."""
        ...


@dataclass(frozen=True)
class Evolving:
    """The default: every kind of proposal, each tried on retrievals that it was not chosen on."""

    name: str = "default"
    description: str = "every kind of proposal, each kept only if newer retrievals say so"
    settings: Settings = field(default_factory=Settings)

    def propose(self, view: View) -> Iterator[Proposal]:
        """Propose by usage."""
        for kind in self.settings.kinds:
            yield from PROPOSERS[kind](view)

    def decide(self, before: Board, after: Board) -> Verdict:
        """Judge by a trial."""
        return judge(before, after, self.settings.bar)


@dataclass(frozen=True)
class Still:
    """No evolution: the structure stays as extraction left it."""

    name: str = "none"
    description: str = "nothing changes: what other policies are compared with"
    settings: Settings = field(default_factory=Settings)

    def propose(self, view: View) -> Iterator[Proposal]:
        """Propose nothing."""
        del view
        yield from ()

    def decide(self, before: Board, after: Board) -> Verdict:
        """Judge by a trial, if anything came."""
        return judge(before, after, self.settings.bar)


@dataclass(frozen=True)
class Chance:
    """A control: merges and splits at random, kept without a trial."""

    name: str = "random"
    description: str = "merges and splits at random, kept without a trial: a control, never for use"
    settings: Settings = field(default_factory=lambda: Settings(trials=20))
    seed: int = 6

    def propose(self, view: View) -> Iterator[Proposal]:
        """Propose one merge or split of categories drawn at random."""
        chance = np.random.default_rng([self.seed, len(view.structure.shelves), *map(len, view.structure.shelves)])
        shelves = sorted(view.structure.shelves.values(), key=lambda one: one.id)
        if len(shelves) > 1 and chance.random() < 0.5:  # noqa: PLR2004 - a coin
            first, second = (shelves[place] for place in chance.choice(len(shelves), 2, replace=False))
            rows = sorted({*first.items, *second.items})
            merged = view.opened(rows, *named(rows, view.facts), quoted(rows, view.facts))
            yield Proposal("merge", (merged,), (first.id, second.id), "drawn at random")
            return
        shelf = shelves[int(chance.integers(len(shelves)))]
        parts = np.array_split(chance.permutation(np.asarray(shelf.items, np.int64)), 2)
        new = [view.opened(p.tolist(), *named(p.tolist(), view.facts), quoted(p.tolist(), view.facts)) for p in parts]
        if all(one.items for one in new):
            yield Proposal("split", tuple(new), (shelf.id,), "drawn at random")

    def decide(self, before: Board, after: Board) -> Verdict:
        """Accept whatever comes."""
        return judge(before, after, self.settings.bar)._replace(accepted=True, reason="kept without a trial")


POLICIES: Final[Mapping[str, Policy]] = {one.name: one for one in (Evolving(), Still(), Chance())}


def policy_named(name: str) -> Policy:
    """Return a policy; raise InvalidInput with the known ones."""
    if (found := POLICIES.get(name)) is None:
        raise InvalidInput(f"unknown policy {name!r}; known are {', '.join(sorted(POLICIES))}")
    return found
