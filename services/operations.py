"""What operators ask for: one model for each operation, with its result; most take long and tell how far they are.

The same request runs in process, over NATS and over HTTP, so the three cannot drift apart (see ``reads``).
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from memstream.events.errors import InvalidInput
from memstream.events.payloads import Frozen
from memstream.events.subjects import Scope
from memstream.projections.models import Digest, Generation, ParkedEvent

from .reads import AsOf

ResultT = TypeVar("ResultT")


class Progress(Frozen):
    """How far an operation is: ``done`` of ``total`` log positions (or other units), and what it has made so far."""

    phase: str
    done: int
    total: int
    events: int = 0
    items: int = 0
    seconds: float = 0.0


Told = Callable[[Progress], None]


class Operation(BaseModel, Generic[ResultT]):
    """A request to operate on a memory service; ``user`` None means everybody, where an operation allows that."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    result: ClassVar[TypeAdapter[Any]]

    tenant: Annotated[str, Field(min_length=1)] = "default"
    user: Annotated[str, Field(min_length=1)] | None = None

    @property
    def scope(self) -> Scope | None:
        """Whose memory is operated on; None: everybody's. Raises InvalidScope for ids that can name nobody."""
        return None if self.user is None else Scope.of(self.tenant, self.user)


class TakeDigest(Operation[Digest]):
    """The canonical digest of one user's memory, or of everybody's, as of a moment.

    ``directory`` reads a projection that ``replay --into`` made, instead of the one being served.
    """

    result = TypeAdapter(Digest)
    as_of: AsOf | None = None
    directory: str | None = None


class Difference(Frozen):
    """Where two memories differ first: the table, and a row that only one of them has."""

    table: str
    only_served: str | None
    only_rebuilt: str | None


class Verified(Frozen):
    """Whether what is served equals what the log says, table by table."""

    matches: bool
    position: int
    served: Digest
    rebuilt: Digest
    difference: Difference | None = None


class Verify(Operation[Verified]):
    """Rebuild into a scratch directory and compare with what is served."""

    result = TypeAdapter(Verified)


class Replayed(Frozen):
    """What a replay made: where, up to which position, from how many events, and whether it is being served now."""

    generation: str | None
    directory: str
    position: int
    events: int
    items: int
    seconds: float
    served: bool
    resumed: bool


class Replay(Operation[Replayed]):
    """Rebuild the projection from the log into a new generation and switch over to it.

    ``into`` builds into a directory instead, and switches nothing; only there may ``user`` and ``until`` limit it.
    """

    result = TypeAdapter(Replayed)
    until: AsOf | None = None
    into: str | None = None


class ListGenerations(Operation[list[Generation]]):
    """All generations, oldest first."""

    result = TypeAdapter(list[Generation])


class Rollback(Operation[Generation]):
    """Serve an earlier generation again: the one named, or the latest before the present one."""

    result = TypeAdapter(Generation)
    name: str | None = None


class DropGeneration(Operation[list[Generation]]):
    """Delete a generation that is not served; answers with those that are left."""

    result = TypeAdapter(list[Generation])
    name: str


class ListParkedEvents(Operation[list[ParkedEvent]]):
    """The events that could not be applied, of one user or of everybody."""

    result = TypeAdapter(list[ParkedEvent])


class ParkedContent(Frozen):
    """A parked event with what the log holds of it, as far as it is text."""

    parked: ParkedEvent
    subject: str
    body: str


class ShowParked(Operation[ParkedContent]):
    """One parked event with its body."""

    result = TypeAdapter(ParkedContent)
    position: Annotated[int, Field(ge=1)]


class Unparked(Frozen):
    """What became of parked events: the positions that are applied now, and those that are still parked."""

    applied: tuple[int, ...]
    still_parked: tuple[ParkedEvent, ...]


class RetryParked(Operation[Unparked]):
    """Try a parked event again (None: all of them), and those that wait behind it."""

    result = TypeAdapter(Unparked)
    position: Annotated[int, Field(ge=1)] | None = None


class DropParked(Operation[Unparked]):
    """Give a parked event up: rebuilds leave it out, and what waits behind it is tried again."""

    result = TypeAdapter(Unparked)
    position: Annotated[int, Field(ge=1)]
    reason: str = "dropped by an operator"


class Reembedded(Frozen):
    """What a re-embedding did: the space in use now, how many events it embedded, how many old ones it dropped."""

    model: str
    space: str
    events_embedded: int
    old_events_dropped: int
    position: int


class Reembed(Operation[Reembedded]):
    """Fill the space of another embedding model beside the present one, then switch to it."""

    result = TypeAdapter(Reembedded)
    model: str
    drop_old: bool = False


class Reextracted(Frozen):
    """What another extraction changed, or with ``dry_run`` would: resources gone over, items that came and that ended.

    ``tokens`` estimates what a model would read; local extractors read for nothing. ``estimated``: what a model would
    state is not known before it is paid, so that no items are counted.
    """

    extractor: str
    dry_run: bool
    resources: int
    already_done: int
    items_new: int
    items_kept: int
    items_superseded: int
    tokens: int
    estimated: bool = False


class Reextract(Operation[Reextracted]):
    """Go over history with another extractor: what it does not say any more is superseded, and stays in the past.

    A ``prompt_version`` is the language model's; ``extractor`` is "model" then, or not given.
    """

    result = TypeAdapter(Reextracted)
    extractor: str = "model"
    prompt_version: str | None = None
    dry_run: bool = False


class Cost(Frozen):
    """What one task of one model has cost; ``dollars`` where its prices are in the models file."""

    task: str
    model: str
    calls: int
    tokens_in: int
    tokens_out: int
    seconds: float
    dollars: float | None


class CostReport(Frozen):
    """What language models have cost, by task and model."""

    costs: tuple[Cost, ...]


class ReportCosts(Operation[CostReport]):
    """Add up what the log says that language models cost: one user's, or everybody's."""

    result = TypeAdapter(CostReport)


class Exported(Frozen):
    """What an export holds: events and resources, up to which position, in which file of how many bytes."""

    path: str
    events: int
    resources: int
    until: int
    bytes: int


class Export(Operation[Exported]):
    """Write the whole log, or one user's, with the resources into one file on the service's machine."""

    result = TypeAdapter(Exported)
    path: str


class Imported(Frozen):
    """What an import brought: events in the file, those that were new here, new resources, the last position."""

    events: int
    added: int
    resources_added: int
    position: int


class Import(Operation[Imported]):
    """Append what an export holds; ``only_tenant`` refuses a file of anybody else."""

    result = TypeAdapter(Imported)
    path: str
    only_tenant: str | None = None


class Snapshot(Frozen):
    """A kept copy of the projection: its name, position, schema version, digest, when it was made, its size."""

    name: str
    position: int
    schema_version: int
    digest: str
    created: float
    bytes: int


class CreateSnapshot(Operation[Snapshot]):
    """Keep a copy of the projection as it is now."""

    result = TypeAdapter(Snapshot)
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")] | None = None


class ListSnapshots(Operation[list[Snapshot]]):
    """All snapshots, oldest first."""

    result = TypeAdapter(list[Snapshot])


class Restored(Frozen):
    """What a restore serves now; ``replayed`` tells that the snapshot was of no use and the log was replayed."""

    generation: str
    position: int
    replayed: bool
    reason: str | None = None


class RestoreSnapshot(Operation[Restored]):
    """Serve a snapshot and what has happened since; one of another schema version is rebuilt from the log instead."""

    result = TypeAdapter(Restored)
    name: str


class Forgotten(Frozen):
    """What an erasure removed: how many events as a whole, how many in part, and where its tombstone is."""

    layer: Literal["item", "resource", "user"]
    target: str
    removed: int
    redacted: int
    tombstone: int


class _Forget(Operation[Forgotten]):
    result = TypeAdapter(Forgotten)
    reason: Annotated[str, Field(min_length=1, max_length=1_000)] = "asked for"

    @property
    def needed_scope(self) -> Scope:
        """Whose memory is erased from; raises InvalidInput when nobody is named."""
        if self.scope is None:
            raise InvalidInput("whose? an erasure names its user")
        return self.scope


class ForgetItem(_Forget):
    """Erase one item and its words from a user's whole history."""

    item_id: Annotated[str, Field(min_length=1)]


class ForgetResource(_Forget):
    """Erase a resource and everything derived from it alone."""

    resource_id: Annotated[str, Field(min_length=1)]


class ForgetUser(_Forget):
    """Erase everything of a user."""


OPERATIONS: dict[str, type[Operation[Any]]] = {
    cls.__name__: cls
    for cls in (
        *(TakeDigest, Verify, Replay, ListGenerations, Rollback, DropGeneration),
        *(ListParkedEvents, ShowParked, RetryParked, DropParked),
        *(ForgetItem, ForgetResource, ForgetUser),
        Reembed,
        Reextract,
        ReportCosts,
        *(Export, Import, CreateSnapshot, ListSnapshots, RestoreSnapshot),
    )
}


class Line(Frozen):
    """One line of an operation's answer on a wire: progress, or how it ended."""

    kind: Literal["progress", "result", "fault"]
    value: Any


class Operator(Protocol):
    """Whoever carries operations out: this process, or another one behind NATS or HTTP."""

    def operate(self, operation: Operation[ResultT], told: Told) -> Awaitable[ResultT]:
        """Carry an operation out, telling how far it is; raises the errors of ``memstream.events.errors``."""
        ...
