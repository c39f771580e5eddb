"""What each event says: one frozen model for the ``data`` of every event type.

These models are the contract. A released version never changes; a new meaning gets a new version and an
upcaster (see ``upcast``).
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

Layer = Literal["category", "item", "resource"]
VectorLayer = Literal["category", "item", "segment", "query"]
Modality = Literal["conversation", "document", "image", "audio", "video"]
Kind = Literal["profile", "event", "knowledge", "behavior", "skill", "tool"]
Method = Literal["rag", "llm"]
SpanUnit = Literal["message", "character", "page", "second"]

# What a 64-bit column holds.
_MOST = 2**63 - 1
Natural = Annotated[int, Field(ge=0, le=_MOST)]


def storable(moment: datetime) -> datetime:
    """Refuse years that no calendar of ours needs and that databases cannot give back."""
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"the year {moment.year} is outside {_FIRST_YEAR}–{_LAST_YEAR}")
    return moment


_FIRST_YEAR, _LAST_YEAR = 1000, 8999
Moment = Annotated[AwareDatetime, AfterValidator(storable)]
Identifier = Annotated[str, Field(min_length=1, max_length=1024)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Frozen(BaseModel):
    """A value: immutable, and strict about fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(Frozen):
    """A half-open range ``[start, end)`` of a resource, counted in ``unit``."""

    unit: SpanUnit
    start: Natural
    end: Natural


class TaskUsage(Frozen):
    """What one task of a language model cost: calls with their repairs, tokens in and out, seconds."""

    task: str
    model: str
    calls: Natural = 0
    tokens_in: Natural = 0
    tokens_out: Natural = 0
    seconds: float = 0.0


class Usage(Frozen):
    """What a step cost: the model that was asked (None: local rules), calls, tokens in and out, seconds.

    ``tasks`` says the same task by task, where more than one model or task had a part in it.
    """

    model: str | None = None
    calls: Natural = 0
    tokens_in: Natural = 0
    tokens_out: Natural = 0
    seconds: float = 0.0
    tasks: tuple[TaskUsage, ...] = ()


class Segment(Frozen):
    """A part of a resource that is read as one piece."""

    id: Identifier
    index: Natural
    span: Span
    text: str
    message_ids: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    time: Moment | None = None


class Source(Frozen):
    """Where a statement was made: the span of a segment of a resource, and the messages in it."""

    resource_id: Identifier
    segment_id: Identifier
    span: Span
    message_ids: tuple[str, ...] = ()
    time: Moment | None = None


class ExtractedItem(Frozen):
    """One self-contained statement. ``context`` is what full text may see beside the statement itself."""

    id: Identifier
    kind: Kind
    text: Annotated[str, Field(min_length=1)]
    context: str = ""
    speaker: str | None = None
    happened: Moment | None = None
    # From 1, a trifle, to 5; None: nobody weighed it.
    importance: Annotated[int, Field(ge=1, le=5)] | None = None
    categories: tuple[Identifier, ...]
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]


class Skipped(Frozen):
    """A passage that gave no item, and why: nothing is dropped without saying so."""

    span: Span
    reason: Literal["small talk", "echo of recalled memory", "no statement"]
    item_id: str | None = None


class Rejected(Frozen):
    """A statement of a model that was not believed, and why."""

    text: str
    reason: Literal["no source", "not in the source", "another language", "said before"]


class ResourceIngestedData(Frozen):
    """Raw input is in the object store under its digest."""

    resource_id: Identifier
    digest: Digest
    size: Natural
    modality: Modality
    media_type: str
    name: str


class ResourceDescribedData(Frozen):
    """What preprocessing made of a resource; long ones come in ``parts``."""

    resource_id: Identifier
    part: Natural = 0
    parts: Annotated[int, Field(ge=1, le=_MOST)] = 1
    segments: tuple[Segment, ...]
    describer: str
    # What a model took for putting an image or a recording into words; None: nobody was asked.
    usage: Usage | None = None


class ItemsExtractedData(Frozen):
    """The statements found in one resource, possibly none; ``run`` counts the times that it was gone over again."""

    resource_id: Identifier
    run: Natural = 0
    part: Natural = 0
    parts: Annotated[int, Field(ge=1, le=_MOST)] = 1
    items: tuple[ExtractedItem, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    extractor: str
    prompt_version: str | None = None
    usage: Usage = Usage()


class ExtractionFailedData(Frozen):
    """An attempt to describe or extract a resource failed; ``parked`` when no further one is made."""

    resource_id: Identifier
    stage: Literal["describe", "extract"]
    reason: str
    attempt: Annotated[int, Field(ge=1, le=_MOST)]
    parked: bool
    usage: Usage = Usage()


class ItemReinforcedData(Frozen):
    """A known statement gained a source."""

    item_id: Identifier
    source: Source


class ItemSupersededData(Frozen):
    """A newer statement took the place of an older one, which keeps its place in history.

    ``relation`` says why: it ``replaced`` what was true until then, it ``contradicted`` it, or the older one was only
    ``extracted again``, and nothing about the world has changed.
    """

    item_id: Identifier
    by: Identifier
    reason: str
    relation: Literal["replaced", "contradicted", "extracted again"] = "extracted again"


class ItemRevisedData(Frozen):
    """The wording of an item changed; its sources and id stay."""

    item_id: Identifier
    text: Annotated[str, Field(min_length=1)]
    context: str = ""
    reason: str


class ItemForgottenData(Frozen):
    """An item is no longer to be recalled."""

    item_id: Identifier
    reason: str


class CategoryCreatedData(Frozen):
    """A new theme."""

    category_id: Identifier
    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: str
    origin: Literal["default", "extraction", "evolution", "user"]


class CategorySummarizedData(Frozen):
    """A new version of a category's file; it covers the log up to position ``covers``."""

    category_id: Identifier
    text: str
    citations: tuple[Identifier, ...]
    covers: Natural
    summarizer: str
    prompt_version: str | None = None
    usage: Usage = Usage()


class Refiling(Frozen):
    """One item moved: out of ``source`` (None: nowhere) into ``target`` (None: nowhere)."""

    item_id: Identifier
    source: Identifier | None = None
    target: Identifier | None = None


class ItemsRefiledData(Frozen):
    """Items changed their categories."""

    moves: Annotated[tuple[Refiling, ...], Field(min_length=1)]
    reason: str


class CategoryDraft(Frozen):
    """A category that an evolution step makes, with the items that it holds."""

    category_id: Identifier
    name: Annotated[str, Field(min_length=1, max_length=200)]
    description: str
    items: tuple[Identifier, ...] = ()


class CategoriesMergedData(Frozen):
    """Several categories became one."""

    step_id: Identifier
    sources: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    target: CategoryDraft
    reason: str


class CategorySplitData(Frozen):
    """One category became several."""

    step_id: Identifier
    source: Identifier
    targets: Annotated[tuple[CategoryDraft, ...], Field(min_length=1)]
    reason: str


class Space(Frozen):
    """An embedding space: vectors of different spaces are never compared."""

    model: Annotated[str, Field(min_length=1)]
    dimension: Annotated[int, Field(ge=1, le=65_536)]


class Embedded(Frozen):
    """One vector, little-endian float16 in base64; ``dimension`` of the event's space."""

    layer: VectorLayer
    id: Identifier
    vector: str


class VectorsEmbeddedData(Frozen):
    """Vectors of one space for statements that are already in the log."""

    space: Space
    vectors: Annotated[tuple[Embedded, ...], Field(min_length=1)]
    resource_id: str | None = None
    # What an endpoint took for them; None: they were made here, for nothing.
    usage: Usage | None = None


class ServedHit(Frozen):
    """One returned id with its score."""

    id: Identifier
    score: float


class ServedTier(Frozen):
    """What one tier returned, best first."""

    layer: Layer
    hits: tuple[ServedHit, ...]


class RetrievalServedData(Frozen):
    """A question and what memory answered, so that use can be studied and recall be run again."""

    retrieval_id: Identifier
    method: Method
    original_query: str
    rewritten_query: str
    needs_retrieval: bool
    top_k: Natural
    tiers: tuple[ServedTier, ...]
    sufficient_at: Layer | None = None
    as_of: Natural
    latency_ms: float
    usage: Usage = Usage()


class FeedbackGivenData(Frozen):
    """How a retrieval's hits fared: used, helpful or wrong ids, and what was missing.

    ``missed`` are the statements that ``missing`` speaks of, as the service found them when it was said.
    """

    retrieval_id: Identifier
    used: tuple[Identifier, ...] = ()
    helpful: tuple[Identifier, ...] = ()
    wrong: tuple[Identifier, ...] = ()
    missing: str | None = None
    missed: tuple[Identifier, ...] = ()


class UserErasedData(Frozen):
    """A tombstone: this user's events up to a position were removed."""

    up_to: Natural
    reason: str


class HistoryErasedData(Frozen):
    """A tombstone: one item, resource or embedding space was erased from history, together with ``positions``.

    Their messages are gone from the log; where something of an event had to stay, ``event.redacted`` holds it.
    """

    layer: Literal["item", "resource", "space"]
    target: Identifier
    positions: tuple[Natural, ...]
    reason: str


class EventRedactedData(Frozen):
    """What is left of the event at ``position`` after an erasure: its JSON, read in its place from now on."""

    position: Natural
    recorded: AwareDatetime
    event: str


class EventDroppedData(Frozen):
    """An operator gave up on the event at ``position``, which could not be applied: rebuilds leave it out."""

    position: Natural
    reason: str


class SpacePreparedData(Frozen):
    """From here on, facts are embedded in this space, too; ``embedder`` names what makes its vectors."""

    space: Space
    embedder: str


class SpaceActivatedData(Frozen):
    """Questions are asked in this space from here on."""

    space: Space
    embedder: str
