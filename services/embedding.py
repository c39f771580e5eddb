"""Embedding: facts in, vectors out, as events; the only place where vectors enter the log."""

import base64
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.ids import derived_id
from memstream.events.log import EventLog
from memstream.events.types import Event

from .protocols import Embedder, Matrix
from .spending import metered, usage_of

# The events that bring something to embed.
EMBEDDED_TYPES = (
    "resource.described",
    "items.extracted",
    "item.revised",
    "category.created",
    "category.summarized",
)
_VECTOR_BYTES = 400_000


class _Text(NamedTuple):
    layer: p.VectorLayer
    id: str
    text: str


class FactEmbedding:
    """Embeds what an event says, in the embedder's space."""

    def __init__(self, log: EventLog, embedder: Embedder) -> None:
        self._log = log
        self._embedder = embedder

    async def process(self, event: Event, *, again: bool = False) -> None:
        """Append the vectors of an event's texts; the same event again appends nothing.

        ``again`` says that they may be in the log already, of an import or of a worker that died behind them: then
        it is searched before a model is asked.
        """
        texts = list(_texts(event))
        if not texts:
            return
        space = self._embedder.space
        per_event = max(1, _VECTOR_BYTES // (3 * space.dimension + 120))
        ids = {
            start: derived_id(event.id, "vectors.embedded", space.model, space.dimension, start)
            for start in range(0, len(texts), per_event)
        }
        if again and await self._log.has(event.scope, "vectors.embedded", ids.values(), after=event.position):
            return
        started = time.perf_counter()
        with metered() as spent:
            vectors = await self._embedder.embed([one.text for one in texts])
        usage = usage_of(spent, time.perf_counter() - started) if spent else None
        events: list[Event] = [
            t.VectorsEmbedded.of(
                event.scope,
                p.VectorsEmbeddedData(
                    space=space,
                    vectors=encode_vectors(texts[start : start + per_event], vectors[start : start + per_event]),
                    resource_id=_resource_of(event),
                    usage=usage if start == 0 else None,
                ),
                id=identifier,
                cause=event,
            )
            for start, identifier in ids.items()
        ]
        await self._log.append_many(events, split=True)


def has_texts(event: Event) -> bool:
    """Tell whether an event brings anything to embed."""
    return next(iter(_texts(event)), None) is not None


def encode_vectors(texts: Sequence[_Text], vectors: Matrix) -> tuple[p.Embedded, ...]:
    """Pack vectors as little-endian float16 in base64."""
    halves = np.asarray(vectors, dtype="<f2")
    return tuple(
        p.Embedded(layer=one.layer, id=one.id, vector=base64.b64encode(half.tobytes()).decode())
        for one, half in zip(texts, halves, strict=True)
    )


def _texts(event: Event) -> Iterator[_Text]:
    match event:
        case t.ResourceDescribed():
            yield from (_Text("segment", segment.id, segment.text) for segment in event.data.segments)
        case t.ItemsExtracted():
            yield from (_Text("item", item.id, item.text) for item in event.data.items)
        case t.ItemRevised():
            yield _Text("item", event.data.item_id, event.data.text)
        case t.CategoryCreated():
            name = event.data.name.replace("_", " ")
            yield _Text("category", event.data.category_id, f"{name}: {event.data.description}")
        case t.CategorySummarized():
            yield _Text("category", event.data.category_id, event.data.text)
        case _:
            return


def _resource_of(event: Event) -> str | None:
    return event.data.resource_id if isinstance(event, t.ResourceDescribed | t.ItemsExtracted) else None
