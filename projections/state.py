"""The working set: the part of the ledger that a batch of events refers to, read before they are applied.

``apply`` sees nothing else of the world, which keeps it pure: the same state and event always give the same
changes, whatever the size of the batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import NamedTuple, TypeVar

from memstream.events import types as t
from memstream.events.types import Event

Key = tuple[str, str]
FactT = TypeVar("FactT")


class ItemFacts(NamedTuple):
    """What later events may need to know of an item."""

    live: bool
    kind: str
    speaker: str | None
    happened: datetime | None


class CategoryFacts(NamedTuple):
    """What later events may need to know of a category."""

    live: bool
    name: str
    description: str
    origin: str


def extraction_stage(run: int) -> str:
    """Return the name of one extraction's parts: another extractor may go over the same resource again."""
    return f"extracted/{run}"


@dataclass
class References:
    """The ids that a batch of events refers to, by scope; ``closing`` categories with all the items they hold."""

    resources: set[Key] = field(default_factory=set)
    items: set[Key] = field(default_factory=set)
    categories: set[Key] = field(default_factory=set)
    retrievals: set[Key] = field(default_factory=set)
    segments: set[Key] = field(default_factory=set)
    closing: set[Key] = field(default_factory=set)


def union(parts: Sequence[References]) -> References:
    """Return what several parts of a batch refer to."""
    return References(*(set[Key]().union(*(getattr(part, one.name) for part in parts)) for one in fields(References)))


@dataclass
class State:
    """What is known about the referred ids, kept up to date while the batch is applied.

    ``links`` maps an item to the categories that it is in, also an item that has ended.
    """

    resources: set[Key] = field(default_factory=set)
    segments: set[Key] = field(default_factory=set)
    parts: set[tuple[str, str, str, int]] = field(default_factory=set)
    items: dict[Key, ItemFacts] = field(default_factory=dict)
    sources: set[tuple[str, str, str, int, int]] = field(default_factory=set)
    categories: dict[Key, CategoryFacts] = field(default_factory=dict)
    file_versions: dict[Key, int] = field(default_factory=dict)
    links: dict[Key, set[str]] = field(default_factory=dict)
    retrievals: dict[Key, set[str]] = field(default_factory=dict)
    vectors: set[tuple[str, str, str, str]] = field(default_factory=set)
    # Ordering keys that wait behind a parked event, with its position.
    parked: dict[Key, int] = field(default_factory=dict)
    # Parked events by scope and id: what they caused waits behind them.
    parked_events: dict[Key, int] = field(default_factory=dict)

    def overlay(self, newer: "State", wanted: References) -> None:
        """Take from ``newer``, the state behind a batch that is still being written, what it knows of the wanted ids."""
        closing = wanted.closing
        held = {key for key, homes in newer.links.items() if any((key[0], home) in closing for home in homes)}
        items = wanted.items | held | self.items.keys()
        owners = items | wanted.segments
        self.resources |= wanted.resources & newer.resources
        self.segments |= wanted.segments & newer.segments
        self.parts |= {part for part in newer.parts if part[:2] in wanted.resources}
        self.items |= _of(newer.items, items)
        self.sources |= {source for source in newer.sources if source[:2] in items}
        self.categories |= _of(newer.categories, wanted.categories)
        self.file_versions |= _of(newer.file_versions, wanted.categories)
        self.links |= _of(newer.links, items)
        self.retrievals |= _of(newer.retrievals, wanted.retrievals)
        self.vectors |= {vector for vector in newer.vectors if (vector[0], vector[3]) in owners}


def _of(facts: dict[Key, FactT], wanted: set[Key]) -> dict[Key, FactT]:
    return {key: facts[key] for key in wanted & facts.keys()}


def references(events: Iterable[Event]) -> References:
    """Collect every id that these events need to know about."""
    found = References()
    for event in events:
        _collect(found, event)
    return found


def ordering_key(event: Event) -> str:
    """Return the key within which this event must not overtake earlier ones."""
    match event:
        case t.ResourceIngested() | t.ResourceDescribed() | t.ItemsExtracted() | t.ExtractionFailed():
            return f"resource/{event.data.resource_id}"
        case t.ItemReinforced() | t.ItemSuperseded() | t.ItemRevised() | t.ItemForgotten():
            return f"item/{event.data.item_id}"
        case t.CategoryCreated() | t.CategorySummarized():
            return f"category/{event.data.category_id}"
        case t.RetrievalServed() | t.FeedbackGiven():
            return f"retrieval/{event.data.retrieval_id}"
        case _:
            return f"event/{event.id}"


def _collect(found: References, event: Event) -> None:
    scope = event.scope.key
    match event:
        case t.ResourceIngested() | t.ExtractionFailed():
            found.resources.add((scope, event.data.resource_id))
        case t.ResourceDescribed():
            found.resources.add((scope, event.data.resource_id))
            found.segments |= {(scope, segment.id) for segment in event.data.segments}
        case t.ItemsExtracted():
            found.resources.add((scope, event.data.resource_id))
            for item in event.data.items:
                found.items.add((scope, item.id))
                found.categories |= {(scope, category) for category in item.categories}
                found.segments |= {(scope, source.segment_id) for source in item.sources}
        case t.ItemReinforced():
            found.items.add((scope, event.data.item_id))
            found.segments.add((scope, event.data.source.segment_id))
        case t.ItemSuperseded():
            found.items |= {(scope, event.data.item_id), (scope, event.data.by)}
        case t.ItemRevised() | t.ItemForgotten():
            found.items.add((scope, event.data.item_id))
        case t.CategoryCreated() | t.CategorySummarized():
            found.categories.add((scope, event.data.category_id))
        case t.RetrievalServed() | t.FeedbackGiven():
            found.retrievals.add((scope, event.data.retrieval_id))
        case t.VectorsEmbedded():
            _collect_embedded(found, scope, event)
        case _:
            _collect_structure(found, scope, event)


def _collect_embedded(found: References, scope: str, event: t.VectorsEmbedded) -> None:
    shelves = {
        "item": found.items,
        "segment": found.segments,
        "category": found.categories,
        "query": found.retrievals,
    }
    for vector in event.data.vectors:
        shelves[vector.layer].add((scope, vector.id))


def _collect_structure(found: References, scope: str, event: Event) -> None:
    match event:
        case t.ItemsRefiled() | t.EvolutionReverted():
            for move in event.data.moves:
                found.items.add((scope, move.item_id))
                found.categories |= {(scope, end) for end in (move.source, move.target) if end}
            if isinstance(event, t.EvolutionReverted):
                found.categories |= {(scope, one) for one in (*event.data.closed, *event.data.reopened)}
                found.closing |= {(scope, one) for one in event.data.closed}
        case t.CategoriesMerged():
            found.categories |= {(scope, one) for one in (*event.data.sources, event.data.target.category_id)}
            found.closing |= {(scope, one) for one in event.data.sources}
            found.items |= {(scope, item) for item in event.data.target.items}
        case t.CategorySplit():
            found.categories.add((scope, event.data.source))
            found.closing.add((scope, event.data.source))
            for target in event.data.targets:
                found.categories.add((scope, target.category_id))
                found.items |= {(scope, item) for item in target.items}
        case _:
            pass


def holders(state: State, scope: str, category: str) -> set[str]:
    """Return the items that a closing category holds."""
    return {item for (owner, item), held in state.links.items() if owner == scope and category in held}
