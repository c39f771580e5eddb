"""What each kind of proposal is worth: evolution by one kind alone, and with one left out, on the same questions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from corpora import Query
from reading import Read
from recall import Behind
from structures import reads_of, situation

from memstream import AsyncMemory, AsyncUser
from memstream.evolution.evidence import Evidence
from memstream.evolution.policy import Evolving, Policy, Settings
from memstream.evolution.run import evolve
from memstream.evolution.structure import Structure

_RUNS = 5


class Ablated(NamedTuple):
    """What the odd questions read after evolution by some kinds, and which steps were accepted."""

    reads: list[Read]
    accepted: Counter[str]


async def ablation_of(memory: AsyncMemory, user: AsyncUser, odd: Sequence[Query], behind: Behind) -> dict[str, Ablated]:
    """Return each variant's outcome for a memory that has been used and not evolved yet; nothing is written."""
    structure, evidence, run = await situation(memory, user, odd, behind)
    found: dict[str, Ablated] = {}
    for name, policy in _variants():
        evolved, accepted = _evolved(structure, evidence, policy)
        found[name] = Ablated(reads_of(evolved, run), accepted)
    return found


def _variants() -> Iterator[tuple[str, Policy]]:
    kinds = Settings().kinds
    yield "none", Evolving(settings=Settings(kinds=()))
    yield "all", Evolving()
    for kind in kinds:
        yield f"{kind} alone", Evolving(settings=Settings(kinds=(kind,)))
    for kind in kinds:
        yield f"without {kind}", Evolving(settings=Settings(kinds=tuple(one for one in kinds if one != kind)))


def _evolved(structure: Structure, evidence: Evidence, policy: Policy) -> tuple[Structure, Counter[str]]:
    accepted = Counter[str]()
    for _ in range(_RUNS):
        run = evolve(structure, evidence, policy)
        accepted.update(one.proposal.kind for one in run.accepted)
        structure = run.structure
        if not run.accepted:
            break
    return structure, accepted
