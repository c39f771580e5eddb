"""What is asked of evolution: one model for each request, carried out like every other operation (see ``operations``)."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from memstream.events.errors import InvalidInput
from memstream.events.payloads import Frozen
from memstream.events.subjects import Scope
from memstream.evolution.history import History, PastStep

from .operations import Operation, ResultT

PolicyName = Annotated[str, Field(min_length=1, max_length=100)]
_Reason = Annotated[str, Field(max_length=1_000)]


class _OfUser(Operation[ResultT]):
    @property
    def needed_scope(self) -> Scope:
        """Whose memory it is about; raises InvalidInput when nobody is named."""
        if self.scope is None:
            raise InvalidInput("whose? evolution is of one user's memory: name the user")
        return self.scope


class Figures(Frozen):
    """A structure on recorded retrievals: what it costs to read, how often files suffice, how much it holds."""

    reading_cost: float
    within_quarter: float
    file_suffices: float
    files_suffice: float
    category_hit1: float
    category_hit3: float
    category_mrr: float
    recall: float
    categories: int
    directory_tokens: int
    tokens_per_file: float
    retrievals: int


class TriedStep(Frozen):
    """A proposal with what the older retrievals promised and what the newer ones said."""

    step_id: str
    kind: str
    proposal: str
    expected: float
    retrievals: int
    before: float
    after: float
    interval: tuple[float, float]
    accepted: bool
    reason: str


class Evolved(Frozen):
    """What a run did, or with ``dry_run`` would do: all that was tried, and the newer retrievals before and after."""

    dry_run: bool
    policy: str
    as_of: int
    position: int
    steps: tuple[TriedStep, ...]
    before: Figures
    after: Figures
    seconds: float


class Evolve(_OfUser[Evolved]):
    """Try proposals one after another and keep what proves itself; by default nothing is written."""

    result = TypeAdapter(Evolved)
    policy: PolicyName | None = None
    dry_run: bool = True


class GetEvolution(_OfUser[History]):
    """The steps of the past with the genealogy of the categories."""

    result = TypeAdapter(History)
    rejected: bool = True


class GetStep(_OfUser[PastStep]):
    """One step, by its id or the beginning of it."""

    result = TypeAdapter(PastStep)
    step_id: Annotated[str, Field(min_length=4)]


class Reverted(Frozen):
    """What undoing a step wrote: the position, how many statements moved back, categories closed and opened again."""

    step_id: str
    position: int
    moved: int
    closed: int
    reopened: int
    structure: str


class RevertStep(_OfUser[Reverted]):
    """Undo one step; later ones that do not build on it stay."""

    result = TypeAdapter(Reverted)
    step_id: Annotated[str, Field(min_length=4)]
    reason: _Reason = "asked for"


class PolicyView(Frozen):
    """A policy that is known here: what it does, and its settings."""

    name: str
    description: str
    settings: dict[str, Any]


class Configured(Frozen):
    """How a user's memory evolves, and the policies that there are."""

    policy: str
    paused: bool
    known: tuple[PolicyView, ...]


class ConfigureEvolution(_OfUser[Configured]):
    """Choose a user's policy, pause or resume; what is None stays as it is, and with nothing given nothing changes."""

    result = TypeAdapter(Configured)
    policy: PolicyName | None = None
    paused: bool | None = None
    reason: _Reason = ""


class Compared(Frozen):
    """What a policy would have made of the recorded history, judged on its newer part."""

    policy: str
    accepted: dict[str, int]
    rejected: dict[str, int]
    figures: Figures


class ComparePolicies(_OfUser[list[Compared]]):
    """Evolve a fork of the memory under each policy; nothing is written."""

    result = TypeAdapter(list[Compared])
    policies: Annotated[tuple[PolicyName, ...], Field(min_length=1, max_length=10)]


EVOLVING: dict[str, type[Operation[Any]]] = {
    cls.__name__: cls for cls in (Evolve, GetEvolution, GetStep, RevertStep, ConfigureEvolution, ComparePolicies)
}
