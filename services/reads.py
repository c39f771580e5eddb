"""Every question that can be asked of a memory: one model each, with its answer and its HTTP path.

The same request is answered in process, over NATS and over HTTP, so the three cannot drift apart.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from memstream.events.payloads import Frozen, Layer, Method, Usage
from memstream.events.subjects import Scope
from memstream.projections.models import (
    Category,
    CategoryFile,
    CategoryHit,
    CategoryName,
    Counts,
    Item,
    ItemHit,
    Lineage,
    MemoryDiff,
    ParkedEvent,
    Recalled,
    Resource,
    ResourceHit,
    Segment,
)

ReplyT = TypeVar("ReplyT")
MAX_TOP_K = 100
# A position is tried first: "12" is the twelfth event, not a second of 1970.
AsOf = Annotated[
    Annotated[int, Field(ge=1, le=2**62)] | AwareDatetime,
    Field(union_mode="left_to_right", description="a log position, or a time with its zone"),
]


class Read(BaseModel, Generic[ReplyT]):
    """A question about one user's memory; ``tenant`` and ``user`` are the wall that it cannot look over.

    ``after_position`` waits until everything up to that log position can be read. ``as_of`` asks for the answer of
    a past moment: a log position, or a time (what had been recorded by then).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: ClassVar[str | None] = None
    reply: ClassVar[TypeAdapter[Any]]

    tenant: Annotated[str, Field(min_length=1)] = "default"
    user: Annotated[str, Field(min_length=1)]
    after_position: Annotated[int, Field(ge=0, le=2**62)] = 0
    as_of: AsOf | None = None

    @property
    def scope(self) -> Scope:
        """Whose memory is asked; raises InvalidScope for ids that can name nobody."""
        return Scope.of(self.tenant, self.user)


Limit = Annotated[int, Field(ge=1, le=1_000)]
Offset = Annotated[int, Field(ge=0, le=2**31)]


class ListItems(Read[list[Item]]):
    """The live items, oldest first; ``resource_id`` limits them to those of one resource."""

    path = "/v1/items"
    reply = TypeAdapter(list[Item])
    resource_id: str | None = None
    limit: Limit = 100
    offset: Offset = 0


class GetItem(Read[Item]):
    """One item, also one that has ended."""

    path = "/v1/items/{item_id:path}"
    reply = TypeAdapter(Item)
    item_id: str


class ListCategories(Read[list[Category]]):
    """The live categories, largest first."""

    path = "/v1/categories"
    reply = TypeAdapter(list[Category])


class ListFiles(Read[list[CategoryFile]]):
    """The category files, by name."""

    path = "/v1/files"
    reply = TypeAdapter(list[CategoryFile])


class GetFile(Read[CategoryFile]):
    """The file of a category, by the category's id or name."""

    path = "/v1/files/{category:path}"
    reply = TypeAdapter(CategoryFile)
    category: str


class ListResources(Read[list[Resource]]):
    """The resources, oldest first."""

    path = "/v1/resources"
    reply = TypeAdapter(list[Resource])
    limit: Limit = 100
    offset: Offset = 0


class GetResource(Read[Resource]):
    """One resource and how far memory has got with it."""

    path = "/v1/resources/{resource_id:path}"
    reply = TypeAdapter(Resource)
    resource_id: str


class ListSegments(Read[list[Segment]]):
    """The segments of a resource, in order."""

    path = "/v1/segments"
    reply = TypeAdapter(list[Segment])
    resource_id: str


class GetLineage(Read[Lineage]):
    """From any category, item, segment or resource to all the others, and to the events."""

    path = "/v1/lineage/{id:path}"
    reply = TypeAdapter(Lineage)
    id: str


class GetDiff(Read[MemoryDiff]):
    """What changed between two moments: behind ``since``, up to ``until`` (default: now)."""

    path = "/v1/diff"
    reply = TypeAdapter(MemoryDiff)
    since: AsOf
    until: AsOf | None = None


class GetCounts(Read[Counts]):
    """How much this user's memory holds."""

    path = "/v1/counts"
    reply = TypeAdapter(Counts)


class ListParked(Read[list[ParkedEvent]]):
    """Events that could not be applied, and why."""

    path = "/v1/parked"
    reply = TypeAdapter(list[ParkedEvent])


class GetServed(Read[list[str] | None]):
    """The ids that a retrieval returned; null when it was not served to this user."""

    reply = TypeAdapter(list[str] | None)
    retrieval_id: str


class Known(Frozen):
    """What an extractor must know: the live categories, and id, text and speaker of what recall has returned."""

    categories: tuple[CategoryName, ...]
    served: tuple[tuple[str, str, str | None], ...]


class GetKnown(Read[Known]):
    """What this user's memory holds already that an extractor must know."""

    reply = TypeAdapter(Known)


class Near(Frozen):
    """A statement that a model made before, and how near it is to another text: a cosine."""

    id: str
    text: str
    happened: datetime | None
    similarity: float


class GetNear(Read[list[list[Near]]]):
    """For each text the ``limit`` live statements of models that are nearest to it, nearest first."""

    reply = TypeAdapter(list[list[Near]])
    texts: tuple[str, ...]
    at_least: Annotated[float, Field(ge=-1, le=1)] = 0.0
    limit: Annotated[int, Field(ge=1, le=20)] = 3


class FindMentioned(Read[list[str]]):
    """The ids of the live statements that a text speaks of in words that are theirs."""

    reply = TypeAdapter(list[str])
    text: Annotated[str, Field(min_length=1)]


class Outcome(Frozen):
    """What memory made of a resource: its first items (a page of them), and the categories that hold these."""

    resource: Resource
    items: tuple[Item, ...]
    categories: tuple[Category, ...]


class GetOutcome(Read[Outcome]):
    """What memory made of a resource: once it is ready, has failed, or ``timeout`` seconds have passed.

    Without ``wait`` it answers with what is known so far.
    """

    reply = TypeAdapter(Outcome)
    resource_id: str
    wait: bool = True
    page: Limit = 100
    # The resource was appended a moment ago: there is nothing to find out before the first commit.
    fresh: bool = False
    timeout: Annotated[float, Field(gt=0, le=3_600)] = 30.0


class Settle(Read[int]):
    """Answers with the position once nothing of this user is waiting to be extracted, embedded or summarized."""

    reply = TypeAdapter(int)
    timeout: Annotated[float, Field(gt=0, le=3_600)] = 30.0


class Progress(Frozen):
    """How far the projection is: its position, how many events it parked, and what keeps it from going on."""

    position: int
    parked: int
    failure: str | None = None


class GetProgress(Read[Progress]):
    """How far the projection is, for everybody; the scope is not looked at."""

    reply = TypeAdapter(Progress)
    user: Annotated[str, Field(min_length=1)] = "operator"


class Turn(BaseModel):
    """One message of the conversation that a question comes from; other fields of a message are not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: str
    content: str
    name: str | None = None


class Ask(Read["Found"]):
    """A question to memory: see ``Retrieved`` for what comes back."""

    query: Annotated[str, Field(min_length=1, max_length=20_000)]
    conversation_history: tuple[Turn, ...] = ()
    method: Method = "rag"
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K)] = 10
    max_tokens: Annotated[int, Field(ge=50, le=200_000)] = 2_000
    exhaustive: bool = False
    # Whether a configured language model may be asked; without one there is nothing to ask.
    use_model: bool = True


class Found(Frozen):
    """What the memory process makes of a question, before the front door records it."""

    needs_retrieval: bool
    rewritten_query: str
    next_step_query: str | None
    recalled: Recalled
    context: str
    space: str | None = None
    dimension: int = 0
    vector: str | None = None
    usage: Usage = Usage()


Ask.reply = TypeAdapter(Found)


class Retrieved(Frozen):
    """What a question got. The keys never change; a query that needs no memory has empty lists.

    ``context`` is prompt-ready text within ``max_tokens``; ``sufficient_at`` the tier that sufficed (None: nothing
    did), ``confidence`` the chance that the first ten items hold the whole answer (None: no telling, as in a memory of
    ten items or fewer); ``as_of`` the log position that answered; ``next_step_query`` what to ask next when something is missing;
    ``unread`` how much of a layer a reading model had no room for, by layer (``method="llm"``).
    """

    retrieval_id: str
    needs_retrieval: bool
    original_query: str
    rewritten_query: str
    next_step_query: str | None
    categories: tuple[CategoryHit, ...]
    items: tuple[ItemHit, ...]
    resources: tuple[ResourceHit, ...]
    context: str
    sufficient_at: str | None
    confidence: float | None = None
    as_of: int
    unread: dict[Layer, int] = Field(default_factory=dict[Layer, int])
    usage: Usage


class Port(Protocol):
    """Whoever answers questions about memory: this process, or another one behind NATS or HTTP."""

    async def ask(self, request: Read[ReplyT]) -> ReplyT:
        """Answer; raises the errors of ``memstream.events.errors``."""
        ...


def _all_reads() -> dict[str, type[Read[Any]]]:
    return {
        cls.__name__: cls
        for cls in (
            *(
                ListItems,
                GetItem,
                ListCategories,
                ListFiles,
                GetFile,
                ListResources,
                GetResource,
                ListSegments,
            ),
            *(
                GetLineage,
                GetDiff,
                GetCounts,
                ListParked,
                GetServed,
                GetKnown,
                GetNear,
                FindMentioned,
                GetOutcome,
                Settle,
                Ask,
                GetProgress,
            ),
        )
    }


READS: dict[str, type[Read[Any]]] = _all_reads()
