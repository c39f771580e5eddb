"""A long history out of nothing: seeded events as the services leave them, many users' resources interleaved.

Each resource is a conversation of 20 turns: ingested, described in segments, extracted into one item a turn, and
the vectors of both. A user's category is created when an item of it comes up first. Vectors are random: what they
cost to store and to search is what counts here, not what they mean.
"""

import base64
import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from dialogue import conversation

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.ids import derived_id, new_id
from memstream.events.log import EventLog
from memstream.events.subjects import Scope
from memstream.events.types import Event

ITEMS = 20
SPACE = p.Space(model="random", dimension=256)
_SEED = 20_262
_SEGMENT_TURNS = 6
_APPENDED = 4_000
_KINDS: tuple[p.Kind, ...] = ("profile", "event", "knowledge", "behavior", "skill", "tool")


class Marks(NamedTuple):
    """Where a history stands in the log: its number of events, and the last position of each part asked for."""

    events: int
    positions: tuple[int, ...]


class History:
    """The events of so many resources; a part from the start is itself a history of all users."""

    def __init__(self, users: int, space: p.Space = SPACE) -> None:
        self._users = users
        self._space = space
        self._source = random.Random(_SEED)
        self._vectors = np.random.default_rng(_SEED)
        self._created: set[str] = set()

    def resources(self, count: int, first: int = 0) -> Iterator[list[Event]]:
        """Yield the events of each resource, numbered from ``first``; every user has one before anyone has the next."""
        order = list(range(self._users))
        for number in range(first, first + count):
            if number % self._users == 0:
                self._source.shuffle(order)
            yield self._resource(scope_of(order[number % self._users]), number)

    def _resource(self, scope: Scope, number: int) -> list[Event]:
        messages = conversation(self._source, number, ITEMS)
        resource = derived_id(scope.key, "resource", number)
        ingested = _ingested(scope, resource, messages)
        segments = [_segment(resource, messages, start) for start in range(0, ITEMS, _SEGMENT_TURNS)]
        described = t.ResourceDescribed.of(
            scope,
            p.ResourceDescribedData(resource_id=resource, segments=tuple(segments), describer="messages-1"),
            id=derived_id(ingested.id, "resource.described", 0),
            time=ingested.time,
            cause=ingested,
        )
        created = self._categories(ingested)
        extracted = self._extracted(ingested, messages, segments)
        facts: list[Event] = [described, *created, extracted]
        return [ingested, *facts, *(self._embedded(event) for event in facts)]

    def _extracted(
        self, ingested: t.ResourceIngested, messages: Sequence[dict[str, Any]], segments: Sequence[p.Segment]
    ) -> t.ItemsExtracted:
        resource, scope = ingested.data.resource_id, ingested.scope
        items = tuple(
            _item(scope, resource, messages, turn, segments[turn // _SEGMENT_TURNS]) for turn in range(len(messages))
        )
        data = p.ItemsExtractedData(resource_id=resource, items=items, extractor="local-1")
        identifier = derived_id(ingested.id, "items.extracted", 0)
        return t.ItemsExtracted.of(scope, data, id=identifier, time=ingested.time, cause=ingested)

    def _categories(self, ingested: t.ResourceIngested) -> list[Event]:
        """Create those of the user's categories that are not there yet."""
        made: list[Event] = []
        for kind in _KINDS:
            category = _category(ingested.scope, kind)
            if category in self._created:
                continue
            self._created.add(category)
            data = p.CategoryCreatedData(
                category_id=category, name=kind, description=f"What belongs to {kind}.", origin="default"
            )
            identifier = derived_id(ingested.scope.key, "category.created", kind)
            made.append(t.CategoryCreated.of(ingested.scope, data, id=identifier, time=ingested.time, cause=ingested))
        return made

    def _embedded(self, event: Event) -> t.VectorsEmbedded:
        """Embed what an event says, as the embedding service does."""
        layer, ids, resource = _embeddable(event)
        halves = self._vectors.standard_normal((len(ids), self._space.dimension), np.float32).astype("<f2")
        vectors = tuple(
            p.Embedded(layer=layer, id=one, vector=base64.b64encode(half.tobytes()).decode())
            for one, half in zip(ids, halves, strict=True)
        )
        data = p.VectorsEmbeddedData(space=self._space, vectors=vectors, resource_id=resource)
        identifier = derived_id(event.id, "vectors.embedded", self._space.model, self._space.dimension, 0)
        return t.VectorsEmbedded.of(event.scope, data, id=identifier, time=event.time, cause=event)


async def fill(log: EventLog, users: int, parts: Sequence[int], space: p.Space = SPACE) -> Marks:
    """Append a history whose first so many items end each of ``parts``, which rise; return where they end."""
    resources, events, positions = History(users, space).resources(parts[-1] // ITEMS), 0, list[int]()
    wanted = {part // ITEMS for part in parts}
    waiting: list[Event] = []
    for number, made in enumerate(resources, start=1):
        waiting += made
        if number in wanted or len(waiting) >= _APPENDED:
            done = await log.append_many(waiting, split=True)
            events, waiting = events + len(waiting), []
            if number in wanted:
                positions.append(done[-1].position)
    return Marks(events, tuple(positions))


def scope_of(number: int) -> Scope:
    """Return the scope of one of the history's users."""
    return Scope("default", f"user-{number}")


def _embeddable(event: Event) -> tuple[p.VectorLayer, list[str], str | None]:
    match event:
        case t.ResourceDescribed():
            return "segment", [one.id for one in event.data.segments], event.data.resource_id
        case t.ItemsExtracted():
            return "item", [one.id for one in event.data.items], event.data.resource_id
        case t.CategoryCreated():
            return "category", [event.data.category_id], None
        case _:
            raise TypeError(event.type)


def _ingested(scope: Scope, resource: str, messages: Sequence[dict[str, Any]]) -> t.ResourceIngested:
    data = p.ResourceIngestedData(
        resource_id=resource,
        digest=derived_id(resource).replace("-", "") * 2,
        size=sum(len(str(one["content"])) for one in messages),
        modality="conversation",
        media_type="application/json",
        name=f"{messages[0]['id']}.json",
    )
    moment: datetime = messages[0]["time"]
    # A command's id is a UUIDv7: from its time the appender knows that nothing of it can be in the log already.
    identifier = derived_id(resource, "resource.ingested")
    return t.ResourceIngested.of(scope, data, id=identifier, time=moment, correlation=new_id())


def _segment(resource: str, messages: Sequence[dict[str, Any]], start: int) -> p.Segment:
    turns = messages[start : start + _SEGMENT_TURNS]
    return p.Segment(
        id=derived_id(resource, "segment", start // _SEGMENT_TURNS),
        index=start // _SEGMENT_TURNS,
        span=p.Span(unit="message", start=start, end=start + len(turns)),
        text="\n".join(f"{one['name']}: {one['content']}" for one in turns),
        message_ids=tuple(one["id"] for one in turns),
        speakers=tuple(dict.fromkeys(one["name"] for one in turns)),
        time=turns[0]["time"],
    )


def _item(
    scope: Scope, resource: str, messages: Sequence[dict[str, Any]], turn: int, segment: p.Segment
) -> p.ExtractedItem:
    message = messages[turn]
    source = p.Source(
        resource_id=resource,
        segment_id=segment.id,
        span=p.Span(unit="message", start=turn, end=turn + 1),
        message_ids=(message["id"],),
        time=message["time"],
    )
    kind = _KINDS[turn % len(_KINDS)]
    return p.ExtractedItem(
        id=derived_id(resource, "item", turn),
        kind=kind,
        text=message["content"],
        context=f"{messages[turn - 1]['name']}: {messages[turn - 1]['content']}" if turn else "",
        speaker=message["name"],
        happened=message["time"],
        categories=(_category(scope, kind),),
        sources=(source,),
    )


def _category(scope: Scope, kind: str) -> str:
    return derived_id(scope.key, "category", kind)
