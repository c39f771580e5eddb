"""What models do for memstream, as small protocols: a local implementation of each is the default.

Anything that a model says ends up in an event; nothing behind these protocols is called by a replay.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from memstream.events.payloads import (
    CategoryCreatedData,
    ExtractedItem,
    ItemReinforcedData,
    ItemSupersededData,
    Rejected,
    Skipped,
    Space,
    Usage,
)
from memstream.events.payloads import Segment as DescribedSegment
from memstream.events.subjects import Scope
from memstream.events.types import ResourceIngested
from memstream.projections.models import CategoryName

from .served import ServedStatements

Matrix = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors of one space."""

    @property
    def space(self) -> Space:
        """The space that the vectors belong to."""
        ...

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """Return one row per text, shape ``(len(texts), dimension)``."""
        ...


class Passage(NamedTuple):
    """A piece of a resource that an extractor reads: one message, or one passage of a document.

    ``start`` and ``end`` are its span in the resource, in the unit of its segment.
    """

    resource_id: str
    segment: DescribedSegment
    start: int
    end: int
    text: str
    speaker: str | None = None
    role: str | None = None
    message_id: str | None = None
    time: datetime | None = None
    # What stands before it and gives it meaning: the previous message, the headings above.
    before: str = ""


class Caption(NamedTuple):
    """A resource in a model's words, who said them, and what that cost; None where the log does not say."""

    text: str
    author: str
    usage: Usage | None


class MediaReader(Protocol):
    """Puts images and recordings into words."""

    async def tell(self, event: ResourceIngested, content: bytes) -> Caption:
        """Return what a resource shows or says; raises Unavailable to try again, InvalidInput when none can."""
        ...


class Material(NamedTuple):
    """What an extractor gets: one resource's passages, the live categories, and what recall has returned before."""

    scope: Scope
    resource_id: str
    modality: str
    name: str
    passages: Sequence[Passage]
    categories: Sequence[CategoryName]
    served: ServedStatements


class Distilled(NamedTuple):
    """What a language model made of a resource, beside what stands in it word for word.

    ``rejected`` was not believed; ``reinforced`` and ``superseded`` are known statements that it says again or
    replaces; ``failures`` are the parts of which it would say nothing usable.
    """

    author: str
    prompt_version: str
    items: Sequence[ExtractedItem]
    rejected: Sequence[Rejected]
    reinforced: Sequence[ItemReinforcedData]
    superseded: Sequence[ItemSupersededData]
    failures: Sequence[str]
    usage: Usage


class Extraction(NamedTuple):
    """What an extractor found: items, what was skipped and why, new categories, and the cost."""

    items: Sequence[ExtractedItem]
    skipped: Sequence[Skipped]
    new_categories: Sequence[CategoryCreatedData]
    usage: Usage
    distilled: Distilled | None = None


class Extractor(Protocol):
    """Reads a resource and states what it says, item by item."""

    @property
    def name(self) -> str:
        """What made the items, for the event."""
        ...

    async def extract(self, material: Material) -> Extraction:
        """Return the statements of a resource; every passage gives an item or a reason for none."""
        ...


@runtime_checkable
class Estimates(Protocol):
    """An extractor that costs something, and knows how much before."""

    def estimate(self, material: Material) -> int:
        """Return about how many tokens it would read."""
        ...
