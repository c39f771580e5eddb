"""What is left of a user's history when an item or a resource is erased from it. Pure: events in, events out.

Every event is gone through in order, as a replay would: what speaks only of erased things goes, lists lose them,
and their words are blotted out wherever else they stand. What is left can be replayed strictly.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

from . import payloads as p
from . import types as t
from .payloads import Frozen
from .types import Event

BLOT = "[forgotten]"
EventT = TypeVar("EventT", bound=Event)


class Erased(NamedTuple):
    """What is to go: ids of each layer, and words that must not stand anywhere any more."""

    items: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()


class Content(NamedTuple):
    """The bytes of a resource after blotting: digest, size, media type."""

    digest: str
    size: int
    media_type: str


# An embedded text: the event that brought it, its layer, its id.
Embeddable = tuple[str, str, str]


class Redactor:
    """Goes through one user's events in order; ``redact`` returns what is left of each.

    ``contents`` are resources whose bytes were blotted, ``vectors`` those of blotted texts. ``changed`` collects the
    texts whose vectors have to be made again: a first pass finds them, a second one gets their vectors.
    """

    def __init__(
        self,
        erased: Erased,
        contents: Mapping[str, Content] | None = None,
        vectors: Mapping[Embeddable, p.Embedded] | None = None,
        space: p.Space | None = None,
    ) -> None:
        self.erased = erased
        self.changed: dict[Embeddable, str] = {}
        self._contents = contents or {}
        self._vectors = vectors or {}
        self._space = space
        self._blots = [blot_pattern(text) for text in erased.texts if text.strip()]
        self._known: dict[str, set[str]] = {"item": set(), "segment": set(), "category": set(), "query": set()}
        # What the history held before, whatever is left of it.
        self._seen: set[str] = set()
        self._touched: set[int] = set()

    def redact(self, event: Event) -> Event | None:
        """Return what is left of an event: the same object when nothing changes, None when nothing stays."""
        self._see(event)
        left = self._left(event)
        if left is not event:
            self._touched.add(event.position)
        return left

    def blot(self, text: str) -> str:
        """Return a text without the erased words."""
        for pattern in self._blots:
            text = pattern.sub(BLOT, text)
        return text

    def _left(self, event: Event) -> Event | None:  # noqa: PLR0911 - one line per kind of event
        match event:
            case t.ResourceIngested() | t.ResourceDescribed() | t.ItemsExtracted() | t.ExtractionFailed():
                return None if event.data.resource_id in self.erased.resources else self._of_resource(event)
            case t.ItemReinforced() | t.ItemSuperseded() | t.ItemRevised() | t.ItemForgotten():
                return self._of_item(event) if event.data.item_id in self._known["item"] else None
            case t.CategoryCreated() | t.CategorySummarized():
                return None if event.data.category_id in self.erased.categories else self._of_category(event)
            case t.ItemsRefiled() | t.EvolutionReverted():
                moves = tuple(move for move in event.data.moves if move.item_id in self._known["item"])
                if moves == event.data.moves:
                    return event
                return _with(event, moves=moves) if moves or isinstance(event, t.EvolutionReverted) else None
            case t.CategoriesMerged():
                return self._blotted(_with(event, target=self._draft(event.data.target)), event)
            case t.CategorySplit():
                return self._blotted(_with(event, targets=tuple(map(self._draft, event.data.targets))), event)
            case t.VectorsEmbedded():
                return self._of_vectors(event)
            case t.RetrievalServed():
                return self._of_retrieval(event)
            case t.FeedbackGiven():
                return self._of_feedback(event)
            case t.EventRedacted():
                # What it left of an event is being replaced by what this erasure leaves.
                return None if event.data.position in self._touched else event
            case _:
                return self._blotted(event, event)

    def _of_resource(
        self, event: t.ResourceIngested | t.ResourceDescribed | t.ItemsExtracted | t.ExtractionFailed
    ) -> Event:
        match event:
            case t.ResourceIngested():
                content = self._contents.get(event.data.resource_id)
                return event if content is None else _with(event, **content._asdict())
            case t.ResourceDescribed():
                left = self._blotted(event, event)
                for segment, before in zip(left.data.segments, event.data.segments, strict=True):
                    self._known["segment"].add(segment.id)
                    self._note(event.id, "segment", segment.id, segment.text, before.text)
                return left
            case t.ItemsExtracted():
                kept = tuple(item for item in event.data.items if item.id not in self.erased.items)
                rest = self._blotted(event if kept == event.data.items else _with(event, items=kept), event)
                for item, old in zip(rest.data.items, kept, strict=True):
                    self._known["item"].add(item.id)
                    self._note(event.id, "item", item.id, item.text, old.text)
                return rest
            case t.ExtractionFailed():
                return self._blotted(event, event)

    def _of_item(self, event: t.ItemReinforced | t.ItemSuperseded | t.ItemRevised | t.ItemForgotten) -> Event | None:
        match event:
            case t.ItemReinforced():
                return None if event.data.source.resource_id in self.erased.resources else event
            case t.ItemSuperseded() if event.data.by not in self._known["item"]:
                # What took its place is gone; that it no longer holds stays true.
                data = p.ItemForgottenData(item_id=event.data.item_id, reason="superseded by what was forgotten")
                return t.ItemForgotten.model_validate(
                    event.model_dump(exclude={"type", "version", "data"})
                    | {"type": "item.forgotten", "version": 1, "data": data}
                )
            case t.ItemRevised():
                left = self._blotted(event, event)
                self._note(event.id, "item", event.data.item_id, left.data.text, event.data.text)
                return left
            case _:
                return self._blotted(event, event)

    def _of_category(self, event: t.CategoryCreated | t.CategorySummarized) -> Event:
        self._known["category"].add(event.data.category_id)
        if isinstance(event, t.CategoryCreated):
            return self._blotted(event, event)
        lines = [line for line in event.data.text.split("\n") if not any(f"[^{i}]" in line for i in self.erased.items)]
        cited = tuple(item for item in event.data.citations if item not in self.erased.items)
        same = cited == event.data.citations and len(lines) == event.data.text.count("\n") + 1
        left = self._blotted(event if same else _with(event, text="\n".join(lines), citations=cited), event)
        self._note(event.id, "category", event.data.category_id, left.data.text, event.data.text)
        return left

    def _of_vectors(self, event: t.VectorsEmbedded) -> Event | None:
        if event.data.resource_id is not None and event.data.resource_id in self.erased.resources:
            return None
        kept = [left for one in event.data.vectors if (left := self._vector(event, one)) is not None]
        if not kept:
            return None
        return event if tuple(kept) == event.data.vectors else _with(event, vectors=tuple(kept))

    def _vector(self, event: t.VectorsEmbedded, one: p.Embedded) -> p.Embedded | None:
        """Return a vector, the one made again for a blotted text, or None for what no longer exists."""
        if one.id not in self._known[one.layer]:
            return None
        key = (event.causation or "", one.layer, one.id)
        if key not in self.changed:
            return one
        return self._vectors.get(key) if event.data.space == self._space else None

    def _of_retrieval(self, event: t.RetrievalServed) -> Event:
        self._known["query"].add(event.data.retrieval_id)
        tiers = tuple(
            _replaced(tier, hits=tuple(hit for hit in tier.hits if not self._gone(hit.id))) for tier in event.data.tiers
        )
        left = self._blotted(event if tiers == event.data.tiers else _with(event, tiers=tiers), event)
        before, after = event.data.rewritten_query, left.data.rewritten_query
        self._note(event.id, "query", event.data.retrieval_id, after, before)
        return left

    def _of_feedback(self, event: t.FeedbackGiven) -> Event:
        lists = {name: getattr(event.data, name) for name in ("used", "helpful", "wrong")}
        kept = {name: tuple(one for one in ids if not self._gone(one)) for name, ids in lists.items()}
        return self._blotted(event if kept == lists else _with(event, **kept), event)

    def _gone(self, identifier: str) -> bool:
        """Tell whether an id of before stands for nothing any more."""
        return identifier in self._seen and not any(identifier in known for known in self._known.values())

    def _see(self, event: Event) -> None:
        match event:
            case t.ResourceDescribed():
                self._seen |= {segment.id for segment in event.data.segments}
            case t.ItemsExtracted():
                self._seen |= {item.id for item in event.data.items}
            case t.CategoryCreated():
                self._seen.add(event.data.category_id)
            case _:
                pass

    def _draft(self, draft: p.CategoryDraft) -> p.CategoryDraft:
        self._known["category"].add(draft.category_id)
        items = tuple(item for item in draft.items if item in self._known["item"])
        return draft if items == draft.items else _replaced(draft, items=items)

    def _note(self, event_id: str, layer: str, identifier: str, text: str, before: str) -> None:
        if text != before:
            self.changed[event_id, layer, identifier] = text

    def _blotted(self, event: EventT, original: EventT) -> EventT:
        """Blot the erased words out of every text of an event's data."""
        if self._blots:
            data = event.data.model_dump(mode="python")
            blotted = _walk(data, self.blot)
            if blotted != data:
                return _with(event, **{name: blotted[name] for name in blotted if blotted[name] != data[name]})
        return original if event == original else event


def blot_pattern(text: str) -> re.Pattern[str]:
    """Return what finds a text whatever its spacing, but not inside a longer word."""
    words = r"\s+".join(re.escape(word) for word in text.split())
    return re.compile(rf"(?<!\w){words}(?!\w)")


def _walk(value: Any, blot: Any) -> Any:
    if isinstance(value, str):
        return blot(value)
    if isinstance(value, Mapping):
        return {key: _walk(one, blot) for key, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return tuple(_walk(one, blot) for one in value)
    return value


def _with(event: EventT, **values: Any) -> EventT:
    """Return an event with other values in its data, checked like any other."""
    data = type(event.data).model_validate({**dict(event.data), **values})
    return cast("EventT", event.model_copy(update={"data": data}))


def _replaced(value: Any, **values: Any) -> Any:
    changed: Frozen = value.model_copy(update=values)
    return changed
