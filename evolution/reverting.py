"""Undoing one step: its moves backwards, its categories closed and opened again, its files as they were before.

A step can be undone as long as no later step builds on it: one that moved, opened, closed or rewrote something in a
category that this one touched.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.errors import InvalidInput
from memstream.events.evolution_payloads import EvolutionRevertedData
from memstream.events.ids import derived_id, new_id
from memstream.events.subjects import Scope
from memstream.events.types import Event
from memstream.projections.ledger import Ledger

from .history import PastStep, history, positions_of, step
from .steps import SUMMARIZER


class _Link(NamedTuple):
    item: str
    category: str


def revert_events(ledger: Ledger, scope: Scope, step_id: str, reason: str, first: int) -> list[Event]:
    """Return the events that undo a step, if the first of them gets the position ``first``.

    Raises NotFound for an unknown step, InvalidInput for one that was rejected, undone already, or is built upon.
    """
    found = step(ledger, scope.key, step_id)
    _check(ledger, scope.key, found)
    positions = positions_of(ledger, scope.key, found.step_id)
    added, removed = (_links(ledger, scope.key, edge, positions) for edge in ("made", "ended"))
    live = _live_links(ledger, scope.key)
    reopened = [one for one in found.closed if one not in _live_categories(ledger, scope.key)]
    moves = _moves(live, added, removed, found)
    correlation = new_id()
    data = EvolutionRevertedData(
        step_id=found.step_id, moves=tuple(moves), closed=found.opened, reopened=tuple(reopened), reason=reason
    )
    undo = t.EvolutionReverted.of(scope, data, correlation=correlation)
    files = _files(ledger, scope.key, found, positions, covers=first)
    return [
        undo,
        *(
            t.CategorySummarized.of(
                scope, one, id=derived_id(undo.id, one.category_id), cause=undo, correlation=correlation
            )
            for one in files
        ),
    ]


def _check(ledger: Ledger, scope: str, found: PastStep) -> None:
    if not found.accepted:
        raise InvalidInput(f"step {found.step_id} was rejected by its trial: there is nothing to undo")
    if found.reverted is not None:
        raise InvalidInput(f"step {found.step_id} was undone already, at position {found.reverted}")
    mine = touched(found)
    later = [
        one
        for one in history(ledger, scope, rejected=False).steps
        if one.position > found.position and one.reverted is None and touched(one) & mine
    ]
    if later:
        told = ", ".join(f"{one.step_id} ({one.kind})" for one in reversed(later))
        raise InvalidInput(f"{len(later)} later steps build on step {found.step_id}; undo them first: {told}")


def touched(one: PastStep) -> set[str]:
    """Return the categories that a step changed in any way."""
    ends = {end for passage in one.passages for end in (passage.source, passage.target) if end}
    return ends | {*one.opened, *one.closed, *one.summarized}


def _moves(live: dict[str, set[str]], added: set[_Link], removed: set[_Link], found: PastStep) -> Iterable[p.Refiling]:
    """Return the moves back; what came into a closing category since goes where most of its items came from."""
    out: defaultdict[str, set[str]] = defaultdict(set)
    back: defaultdict[str, set[str]] = defaultdict(set)
    for link in added:
        if link.category in live.get(link.item, ()):
            out[link.item].add(link.category)
    for link in removed:
        if link.category not in live.get(link.item, ()):
            back[link.item].add(link.category)
    closing = set(found.opened)
    for item, homes in live.items():
        if strays := (homes & closing) - out[item]:
            out[item] |= strays
        if out[item] and not (homes - out[item]) | back[item]:
            back[item].add(_origin(found, min(out[item])))
    for item in sorted({*out, *back}):
        sources, targets = sorted(out[item]), sorted(back[item])
        for place in range(max(len(sources), len(targets))):
            yield p.Refiling(
                item_id=item,
                source=sources[place] if place < len(sources) else None,
                target=targets[place] if place < len(targets) else None,
            )


def _origin(found: PastStep, category: str) -> str:
    """Return the category that most statements of a closing one came from."""
    come = [one for one in found.passages if one.target == category and one.source is not None]
    any_source = [one for one in found.passages if one.source is not None]
    best = max(come or any_source, key=lambda one: (one.items, one.source or ""))
    assert best.source is not None
    return best.source


def _files(
    ledger: Ledger, scope: str, found: PastStep, positions: list[int], *, covers: int
) -> Iterable[p.CategorySummarizedData]:
    """Yield the files as they were, of the categories whose files the step wrote or ended."""
    wanted = sorted({*found.summarized, *found.closed, *touched(found)} - set(found.opened))
    rows: list[tuple[Any, ...]] = ledger.rows(
        "SELECT category_id, text, citations, summarizer FROM files WHERE scope = $scope AND made < $first "
        "AND (ended IS NULL OR ended >= $first) AND list_contains($wanted::VARCHAR[], category_id) ORDER BY category_id",
        {"scope": scope, "first": positions[0], "wanted": wanted},
    )
    for category, text, citations, summarizer in rows:
        yield p.CategorySummarizedData(
            category_id=category, text=text, citations=tuple(citations), covers=covers, summarizer=summarizer
        )
    for category in sorted(set(found.summarized) - set(found.opened) - {row[0] for row in rows}):
        yield p.CategorySummarizedData(
            category_id=category, text="", citations=(), covers=covers, summarizer=SUMMARIZER
        )


def _links(ledger: Ledger, scope: str, edge: str, positions: list[int]) -> set[_Link]:
    rows = ledger.rows(
        f"SELECT item_id, category_id FROM links WHERE scope = $scope AND list_contains($positions::BIGINT[], {edge})",
        {"scope": scope, "positions": positions},
    )
    return {_Link(item, category) for item, category in rows}


def _live_links(ledger: Ledger, scope: str) -> dict[str, set[str]]:
    rows = ledger.rows(
        "SELECT item_id, list(category_id) FROM links WHERE scope = ? AND ended IS NULL GROUP BY 1", [scope]
    )
    return {item: set(homes) for item, homes in rows}


def _live_categories(ledger: Ledger, scope: str) -> set[str]:
    return {row[0] for row in ledger.rows("SELECT id FROM categories WHERE scope = ? AND ended IS NULL", [scope])}
