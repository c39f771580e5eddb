"""What the events of evolution carry: a trial with its verdict, a step undone, how a memory evolves from here on."""

from typing import Literal

from .payloads import Frozen, Identifier, Natural, Refiling


class EvolutionTrialedData(Frozen):
    """A proposal was tried on recorded retrievals; the evidence and the verdict."""

    step_id: Identifier
    kind: Literal["merge", "split", "summarize", "refile", "create", "archive"]
    proposal: str
    retrievals: Natural
    before: float
    after: float
    interval: tuple[float, float]
    accepted: bool
    reason: str


class EvolutionRevertedData(Frozen):
    """An evolution step was undone by these moves; ``closed`` categories end, ``reopened`` ones live again."""

    step_id: Identifier
    moves: tuple[Refiling, ...]
    closed: tuple[Identifier, ...] = ()
    reopened: tuple[Identifier, ...] = ()
    reason: str


class EvolutionConfiguredData(Frozen):
    """How a user's memory evolves from here on: not at all while ``paused``, else by the named policy."""

    policy: Identifier
    paused: bool
    reason: str = ""
