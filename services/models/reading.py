"""Retrieval by reading: a model reads category files, then items, then segments, and stops when it knows enough.

At most four calls and no embeddings. Each prompt holds as much as its budget allows, the likeliest first; what did not
fit is counted, and told.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator

from memstream.events.payloads import Layer, TaskUsage
from memstream.events.subjects import Scope
from memstream.projections.models import CategoryHit, ItemHit, Recalled, ResourceHit
from memstream.projections.words import count_tokens
from memstream.services.shelves import Entry, Shelf

from .client import Models
from .prompts import READ, prompt

# What one call reads; a model's window is larger, its attention is not.
BUDGET_TOKENS = 8_000
_ANSWER_TOKENS = 1_500
_LONGEST_REASON = 300
HitT = TypeVar("HitT", CategoryHit, ItemHit, ResourceHit)


class _Pick(BaseModel):
    number: int
    reason: Annotated[str, BeforeValidator(lambda value: str(value or "")[:_LONGEST_REASON])] = ""


class _Reading(BaseModel):
    relevant: list[_Pick]
    sufficient: bool
    next_query: Annotated[str, BeforeValidator(lambda value: str(value or ""))] = ""


class Read(NamedTuple):
    """What reading found: the hits of each tier, what to ask next, and what it cost."""

    recalled: Recalled
    next_query: str | None
    usage: Sequence[TaskUsage]


class _Tier(NamedTuple):
    picked: list[tuple[Entry, str]]
    sufficient: bool
    next_query: str
    unread: int


async def read_memory(models: Models, scope: Scope, query: str, shelf: Shelf, *, top_k: int, as_of: int) -> Read:
    """Read tier by tier until one suffices; raises what ``Models.ask`` raises."""
    reader = _Reader(models, scope, query)
    unread: dict[Layer, int] = {}
    tiers: dict[Layer, list[tuple[Entry, str]]] = {"category": [], "item": [], "resource": []}
    sufficient: Layer | None = None
    next_query = ""
    layers: tuple[Layer, ...] = ("category", "item", "resource")
    for layer in layers:
        above = [entry.id for picked in tiers.values() for entry, _ in picked]
        read = await reader.read(layer, await shelf.entries(layer, query, above))
        tiers[layer] = read.picked[:top_k]
        next_query = read.next_query
        if read.unread:
            unread[layer] = read.unread
        if read.sufficient and read.picked:
            sufficient = layer
            break
    recalled = Recalled(
        categories=_hits(tiers["category"], CategoryHit),
        items=_hits(tiers["item"], ItemHit),
        resources=_hits(tiers["resource"], ResourceHit),
        sufficient_at=sufficient,
        as_of=as_of,
        unread=unread,
    )
    return Read(recalled, None if sufficient else next_query or None, reader.spent)


class _Reader:
    def __init__(self, models: Models, scope: Scope, query: str) -> None:
        self._models = models
        self._scope = scope
        self._query = query
        self.spent: list[TaskUsage] = []

    async def read(self, layer: Layer, entries: Sequence[Entry]) -> _Tier:
        """Show a model as many entries as fit, and return those that it picks."""
        shown = _fitting(entries)
        if not shown:
            return _Tier([], False, "", 0)
        text = "\n".join(f"{number}. {entry.text}" for number, entry in enumerate(shown, start=1))
        left = len(entries) - len(shown)
        more = f"\n({left} more do not fit here.)" if left else ""
        answer = await self._models.ask(
            "rank",
            self._scope,
            prompt(READ),
            f"Question: {self._query}\n\n{_WHAT[layer]}:\n{text}{more}",
            _Reading,
            max_tokens=_ANSWER_TOKENS,
        )
        self.spent.append(answer.usage)
        picked: dict[str, tuple[Entry, str]] = {}
        for one in answer.value.relevant:
            # A number that was not shown names nothing.
            if 0 < one.number <= len(shown):
                entry = shown[one.number - 1]
                picked.setdefault(entry.id, (entry, one.reason))
        return _Tier(list(picked.values()), answer.value.sufficient, answer.value.next_query, left)


_WHAT = {"category": "Category files", "item": "Statements", "resource": "Original passages"}


def _fitting(entries: Sequence[Entry]) -> list[Entry]:
    shown: list[Entry] = []
    used = 0
    for entry in entries:
        cost = count_tokens(entry.text) + 4
        if used + cost > BUDGET_TOKENS:
            break
        shown.append(entry)
        used += cost
    return shown


def _hits(picked: Sequence[tuple[Entry, str]], kind: type[HitT]) -> tuple[HitT, ...]:
    found: list[HitT] = []
    for rank, (entry, reason) in enumerate(picked, start=1):
        assert isinstance(entry.hit, kind)
        found.append(entry.hit.model_copy(update={"rank": rank, "score": round(1 / rank, 4), "reason": reason}))
    return tuple(found)
