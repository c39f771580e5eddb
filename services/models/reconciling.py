"""Reconciling new statements with known ones: one batched call for a resource, and none when nothing is near."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator

from memstream.events.payloads import ExtractedItem, ItemReinforcedData, ItemSupersededData, TaskUsage
from memstream.events.subjects import Scope
from memstream.services.reads import GetNear, Near, Port

from .client import Models
from .prompts import RECONCILE, prompt

# "Ana lives in Lisbon" and "… in Porto now" have a cosine of 0.63 (wordllama). On LoCoMo's ready-made facts seven of
# eight sessions hold something that is as near to what an earlier one said; at 0.75 it would be half of them.
_NEAR = 0.6
_EACH = 2
# More pairs than this would make a prompt that no cheap model follows.
_MOST = 30


class _Pair(BaseModel):
    new: int
    known: int
    relation: Annotated[
        Literal["same", "replaces", "contradicts", "none"],
        BeforeValidator(lambda value: value if value in ("same", "replaces", "contradicts") else "none"),
    ]


class _Pairs(BaseModel):
    pairs: list[_Pair]


class Reconciled(NamedTuple):
    """What is left of the new statements, what they reinforce and supersede, and what finding out cost."""

    items: Sequence[ExtractedItem]
    reinforced: Sequence[ItemReinforcedData] = ()
    superseded: Sequence[ItemSupersededData] = ()
    usage: TaskUsage | None = None


async def reconcile(models: Models, port: Port, scope: Scope, items: Sequence[ExtractedItem]) -> Reconciled:
    """Compare statements with what memory knows near them; raises what ``Models.ask`` raises."""
    if not items:
        return Reconciled(items)
    request = GetNear(
        tenant=scope.tenant, user=scope.user, texts=tuple(item.text for item in items), at_least=_NEAR, limit=_EACH
    )
    near = await port.ask(request)
    ids = {item.id for item in items}
    pairs = [
        (item, [one for one in known if one.id not in ids]) for item, known in zip(items, near, strict=True) if known
    ]
    offered = sorted(((item, known) for item, known in pairs if known), key=lambda pair: -pair[1][0].similarity)[:_MOST]
    if not offered:
        return Reconciled(items)
    answer = await models.ask("judge", scope, prompt(RECONCILE), _written(offered), _Pairs)
    return _applied(items, offered, answer.value.pairs, answer.usage)


def _written(offered: Sequence[tuple[ExtractedItem, Sequence[Near]]]) -> str:
    lines: list[str] = []
    number = 0
    for place, (item, known) in enumerate(offered, start=1):
        day = f" ({item.happened:%Y-%m-%d})" if item.happened else ""
        lines.append(f"new {place}{day}: {item.text}")
        for one in known:
            number += 1
            lines.append(f"  known {number}{f' ({one.happened:%Y-%m-%d})' if one.happened else ''}: {one.text}")
    return "\n".join(lines)


def _applied(
    items: Sequence[ExtractedItem],
    offered: Sequence[tuple[ExtractedItem, Sequence[Near]]],
    pairs: Sequence[_Pair],
    usage: TaskUsage,
) -> Reconciled:
    # Only pairs that were offered can be named: a model that invents numbers changes nothing.
    known: Mapping[tuple[int, int], Near] = dict(_numbered(offered))
    same: dict[str, str] = {}
    ended: dict[str, ItemSupersededData] = {}
    for pair in pairs:
        near = known.get((pair.new, pair.known))
        if near is None or pair.relation == "none":
            continue
        item = offered[pair.new - 1][0]
        if pair.relation == "same":
            same.setdefault(item.id, near.id)
            continue
        relation: Any = "replaced" if pair.relation == "replaces" else "contradicted"
        ended.setdefault(
            near.id, ItemSupersededData(item_id=near.id, by=item.id, reason=item.text[:200], relation=relation)
        )
    kept = [item for item in items if item.id not in same]
    return Reconciled(
        kept,
        [
            ItemReinforcedData(item_id=same[item.id], source=source)
            for item in items
            if item.id in same
            for source in item.sources
        ],
        [one for one in ended.values() if one.by not in same and one.item_id not in same.values()],
        usage,
    )


def _numbered(offered: Sequence[tuple[ExtractedItem, Sequence[Near]]]) -> list[tuple[tuple[int, int], Near]]:
    found: list[tuple[tuple[int, int], Near]] = []
    for place, (_, known) in enumerate(offered, start=1):
        found += [((place, len(found) + number), one) for number, one in enumerate(known, start=1)]
    return found
