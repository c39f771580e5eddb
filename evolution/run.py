"""A run: proposals are tried one after another, best expected gain first, until nothing more is accepted.

What is expected is measured on the older retrievals, what is decided on the newer ones. After each accepted step
proposals are made anew, as it changes what the others would do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memstream.events.errors import InvalidInput

from .evidence import Evidence
from .objective import Board
from .policy import Policy
from .proposals import Kind, Proposal, View
from .rerun import rerun
from .structure import Structure
from .trial import Verdict

# A gain on the older part below this is noise of rounding.
_LEAST_GAIN = 1e-6


class Tried(NamedTuple):
    """A proposal with the gain that the older retrievals promised, and what the newer ones said."""

    proposal: Proposal
    expected: float
    verdict: Verdict


class Made(NamedTuple):
    """A step of the past: its kind, what it was made from and what it made, and the retrievals recorded since."""

    kind: Kind
    sources: frozenset[str]
    targets: frozenset[str]
    since: int


@dataclass(frozen=True)
class Past:
    """What earlier runs did: steps that must rest, and proposals that were rejected on nearly the same evidence."""

    made: tuple[Made, ...] = ()
    rejected: frozenset[str] = frozenset()


class Run(NamedTuple):
    """A run's result: everything that was tried, and the structure that the accepted steps make."""

    tried: tuple[Tried, ...]
    structure: Structure

    @property
    def accepted(self) -> tuple[Tried, ...]:
        """The steps that were accepted, in their order."""
        return tuple(one for one in self.tried if one.verdict.accepted)


def evolve(structure: Structure, evidence: Evidence, policy: Policy, past: Past = Past()) -> Run:
    """Return what a policy would do to a structure."""
    tried: list[Tried] = []
    for one, after in steps(structure, evidence, policy, past):
        tried.append(one)
        structure = after
    return Run(tuple(tried), structure)


def steps(
    structure: Structure, evidence: Evidence, policy: Policy, past: Past = Past()
) -> Iterator[tuple[Tried, Structure]]:
    """Yield each proposal that is tried, with the structure after it."""
    settings = policy.settings
    recorded = evidence.with_retrievals(evidence.retrievals[-settings.retrievals :])
    older, newer = (Board.of(structure, rerun(part)) for part in recorded.halves(settings.older))
    made, refused, budget = list(past.made), set(past.rejected), settings.trials
    while budget > 0:
        for proposal, expected in _ranked(View(structure, older), policy, made, refused):
            budget -= 1
            changed = proposal.apply(structure)
            after = newer.with_structure(changed)
            verdict = policy.decide(newer, after)
            if verdict.accepted:
                made.append(_made(proposal, structure))
                structure, newer, older = changed, after, older.with_structure(changed)
            else:
                refused.add(proposal.fingerprint)
            yield Tried(proposal, expected, verdict), structure
            if verdict.accepted or budget <= 0:
                break
        else:
            return


def _ranked(view: View, policy: Policy, made: Sequence[Made], refused: set[str]) -> Iterator[tuple[Proposal, float]]:
    """Yield the proposals that may be tried, best expected gain first."""
    found: dict[str, tuple[Proposal, float]] = {}
    for proposal in policy.propose(view):
        if proposal.fingerprint in refused or proposal.fingerprint in found or _undoes(proposal, made, policy):
            continue
        try:
            gain = view.board.cost - view.board.with_structure(proposal.apply(view.structure)).cost
        except InvalidInput:
            # It would leave statements in no category.
            continue
        if gain > _LEAST_GAIN or policy.name == "random":
            found[proposal.fingerprint] = (proposal, gain)
    yield from sorted(found.values(), key=lambda one: (-one[1], one[0].fingerprint))


def _undoes(proposal: Proposal, made: Sequence[Made], policy: Policy) -> bool:
    """Tell whether a proposal would take back a step that has to rest: hysteresis."""
    if proposal.kind not in ("merge", "split"):
        return False
    parts = frozenset(proposal.closes)
    for step in made:
        if step.since >= policy.settings.rest:
            continue
        if proposal.kind == "split" and step.kind == "merge" and parts <= step.targets:
            return True
        if proposal.kind == "merge" and step.kind in ("split", "create") and len(parts & step.targets) > 1:
            return True
    return False


def _made(proposal: Proposal, before: Structure) -> Made:
    opened = frozenset(shelf.id for shelf in proposal.becomes if shelf.id not in before.shelves)
    return Made(proposal.kind, frozenset(proposal.closes), opened, 0)
