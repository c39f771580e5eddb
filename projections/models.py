"""What readers of the three layers get: values that trace to their sources and to the events that made them."""

from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import Field

from memstream.events.payloads import Frozen, Kind, Layer, Modality, Span, Usage


class SourceRef(Frozen):
    """Where an item was said: resource, segment, span, and the messages' ids for a conversation."""

    resource_id: str
    segment_id: str
    span: Span
    message_ids: tuple[str, ...] = ()
    time: datetime | None = None


class Item(Frozen):
    """A statement with its sources and the categories that hold it.

    ``made`` and ``ended`` are log positions; ``ended`` is None while the item is live.
    """

    id: str
    kind: Kind
    text: str
    speaker: str | None = None
    happened: datetime | None = None
    sources: tuple[SourceRef, ...] = ()
    categories: tuple[str, ...] = ()
    made: int
    ended: int | None = None
    end_reason: str | None = None
    successor: str | None = None


class Statement(NamedTuple):
    """An item as a category file needs it: cheap to read by the thousand."""

    id: str
    text: str
    speaker: str | None
    happened: datetime | None
    made: int
    # A model made it from what was said; otherwise these are the words themselves.
    distilled: bool = False


class CategoryName(Frozen):
    """A category as an extractor needs it, to file statements."""

    id: str
    name: str
    description: str
    origin: str


class Category(Frozen):
    """A theme: its name, description, and how many live items it holds."""

    id: str
    name: str
    description: str
    origin: str
    items: int = 0
    file_version: int = 0
    made: int
    ended: int | None = None


class CategoryFile(Frozen):
    """A version of a category's Markdown file; ``citations`` are the item ids that it quotes.

    ``summarizer`` wrote it: a model's name, or the rules'.
    """

    category_id: str
    name: str
    path: str
    version: int
    text: str
    citations: tuple[str, ...]
    covers: int
    summarizer: str
    made: int


class Resource(Frozen):
    """Raw input: what it is, and how far memory has got with it.

    ``status`` is ``ingested`` (only the bytes are safe), ``extracted`` (items are known), ``ready`` (everything is
    searchable) or ``failed`` (extraction gave up; ``failure`` says why).
    """

    id: str
    name: str
    modality: Modality
    media_type: str
    digest: str
    size: int
    session: str | None = None
    agent: str | None = None
    time: datetime
    status: Literal["ingested", "extracted", "ready", "failed"]
    failure: str | None = None
    segments: int = 0
    items: int = 0
    # What extraction cost.
    usage: Usage = Usage()
    made: int
    ended: int | None = None


class Segment(Frozen):
    """A part of a resource with its text."""

    id: str
    resource_id: str
    resource_name: str
    ordinal: int
    span: Span
    text: str
    message_ids: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    time: datetime | None = None
    made: int


class EventRef(Frozen):
    """An event that made or ended something."""

    position: int
    id: str
    type: str
    time: datetime
    recorded: datetime


class Lineage(Frozen):
    """Everything that one id is connected with, up and down the layers, and the events behind it."""

    id: str
    layer: Literal["category", "item", "segment", "resource"]
    categories: tuple[str, ...]
    items: tuple[str, ...]
    segments: tuple[str, ...]
    resources: tuple[str, ...]
    events: tuple[EventRef, ...]


class CategoryHit(Frozen):
    """A category that matched; ``summary`` is its file's text, ``items`` those that the file cites."""

    id: str
    name: str
    description: str
    summary: str
    items: tuple[str, ...]
    score: float
    rank: int
    reason: str | None = None


class ItemHit(Frozen):
    """An item that matched, with its sources; ``signals`` says what put it there, each in 0..1.

    ``feedback`` alone lies in -1..1. ``superseded_by`` names the item that replaced or contradicted this one: both
    come back, the newer one first, unless the question asks about the past.
    """

    id: str
    text: str
    kind: Kind
    speaker: str | None
    happened: datetime | None
    sources: tuple[SourceRef, ...]
    categories: tuple[str, ...]
    score: float
    rank: int
    signals: dict[str, float]
    superseded_by: str | None = None
    reason: str | None = None


class ResourceHit(Frozen):
    """A segment of a resource that matched; ``items`` are the statements extracted from it."""

    id: str
    resource_id: str
    name: str
    text: str
    span: Span
    message_ids: tuple[str, ...]
    time: datetime | None
    items: tuple[str, ...]
    score: float
    rank: int
    reason: str | None = None


class Recalled(Frozen):
    """What the tiers returned: ``sufficient_at`` is the first tier that sufficed, ``as_of`` the position.

    ``confidence`` is the chance that the first ten items hold the whole answer; None where nothing tells.
    """

    categories: tuple[CategoryHit, ...] = ()
    items: tuple[ItemHit, ...] = ()
    resources: tuple[ResourceHit, ...] = ()
    sufficient_at: Layer | None = None
    confidence: float | None = None
    as_of: int = 0
    missing: tuple[str, ...] = ()
    # By layer, how much a model had no room to read; empty where nothing was left out.
    unread: dict[Layer, int] = Field(default_factory=dict[Layer, int])
    usage: Usage = Usage()


class ParkedEvent(Frozen):
    """An event that could not be applied, and why; ``waits_for`` names the position that it waits behind.

    ``waiting`` are the later events of the same key that wait behind this one.
    """

    position: int
    tenant: str = ""
    user: str = ""
    type: str
    key: str
    reason: str
    waits_for: int | None
    recorded: datetime
    attempts: int = 1
    waiting: tuple[int, ...] = ()


class Counts(Frozen):
    """How much one user's memory holds."""

    resources: int
    segments: int
    items: int
    categories: int
    retrievals: int
    feedback: int
    parked: int
    position: int


class TableDigest(Frozen):
    """One table's part: how many rows it has, and the hash of what they say."""

    name: str
    rows: int
    digest: str


class Digest(Frozen):
    """The digest of a memory as of ``position``; two memories with the same digest say the same."""

    digest: str
    position: int
    tables: tuple[TableDigest, ...]


class Generation(Frozen):
    """One generation: its name, whether it is served, being built or kept, its position when last noted, its size."""

    name: str
    state: Literal["serving", "building", "kept"]
    position: int
    created: float
    bytes: int


class Change(Frozen):
    """Something that came, ended or grew at a position; ``text`` is a statement or a name."""

    id: str
    text: str
    position: int
    reason: str | None = None


class Moved(Frozen):
    """An item that changed its categories, by their names."""

    id: str
    text: str
    out_of: tuple[str, ...]
    into: tuple[str, ...]


class FileChange(Frozen):
    """A category file that was written or rewritten: its versions, and the lines that came and went."""

    category_id: str
    name: str
    version_before: int
    version_after: int
    added: tuple[str, ...]
    removed: tuple[str, ...]


class MemoryDiff(Frozen):
    """What changed in a user's memory behind position ``since``, up to ``until``; ``words`` tells it in sentences."""

    since: int
    until: int
    resources: tuple[Change, ...]
    items_added: tuple[Change, ...]
    items_ended: tuple[Change, ...]
    sources_gained: tuple[Change, ...]
    categories_opened: tuple[Change, ...]
    categories_closed: tuple[Change, ...]
    moved: tuple[Moved, ...]
    files: tuple[FileChange, ...]
    words: tuple[str, ...] = ()
