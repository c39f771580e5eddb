"""A step as events: one atomic batch that makes the structure what the trial judged, with its files.

The first event is the trial with its evidence; the others name it as their cause. Their positions are foreseen, so
that each file covers the very step that it is written in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.evolution_payloads import EvolutionTrialedData
from memstream.events.ids import derived_id, new_id
from memstream.events.subjects import Scope
from memstream.events.types import Event

from .evidence import Facts
from .extractive import Line, page
from .proposals import Proposal
from .run import Tried
from .structure import Shelf, Structure

SUMMARIZER = "evolution-1"
# Statements without a time come last.
_UNDATED = datetime.max.replace(tzinfo=UTC)

# The statements that each category is linked to, also those that have ended.
Holdings = Mapping[str, set[str]]


@dataclass(frozen=True)
class Step:
    """An accepted proposal on the way into the log: what it changes, and all that the closing categories hold."""

    scope: Scope
    tried: Tried
    before: Structure
    facts: Facts
    holdings: Holdings

    @property
    def proposal(self) -> Proposal:
        """The proposal."""
        return self.tried.proposal


def trial_id(step_id: str) -> str:
    """Return the id of the event that tells of a step's trial: the cause of all its other events."""
    return derived_id(step_id, "trialed")


def step_id_of(proposal: Proposal, as_of: int) -> str:
    """Return the id of a step: the same proposal may be accepted again after it was reverted."""
    return derived_id(proposal.fingerprint, as_of)


def trial_event(scope: Scope, tried: Tried, step_id: str, correlation: str) -> Event:
    """Return the event that tells what was proposed and what its trial measured."""
    verdict = tried.verdict
    data = EvolutionTrialedData(
        step_id=step_id,
        kind=tried.proposal.kind,
        proposal=tried.proposal.reason,
        retrievals=verdict.retrievals,
        before=verdict.before,
        after=verdict.after,
        interval=(verdict.low, verdict.high),
        accepted=verdict.accepted,
        reason=verdict.reason,
    )
    return t.EvolutionTrialed.of(scope, data, id=trial_id(step_id), correlation=correlation)


def step_events(step: Step, step_id: str, first: int) -> list[Event]:
    """Return the events of a step whose first one gets the position ``first``."""
    correlation = new_id()
    events = [trial_event(step.scope, step.tried, step_id, correlation)]
    changes = [*_structural(step, step_id)]
    covers = first + len(changes)
    cause = events[0]
    for number, (kind, data) in enumerate([*changes, *_files(step, covers)]):
        identifier = derived_id(step_id, number)
        events.append(kind.of(step.scope, data, id=identifier, cause=cause, correlation=correlation))
    return events


# The type of an event, and what it says.
_Made = tuple[type[Any], p.Frozen]


def _structural(step: Step, step_id: str) -> Iterator[_Made]:
    """Yield what changes categories and links, in an order in which no statement is ever without a category."""
    proposal = step.proposal
    if proposal.kind == "merge" and len(proposal.becomes) == 1:
        yield _merged(step, step_id)
        return
    opened = [shelf for shelf in proposal.becomes if shelf.id not in step.before.shelves]
    divided = [one for one in proposal.closes if any(set(_rows(step, one)) & set(shelf.items) for shelf in opened)]
    targets = {one: _targets(step, one) for one in divided}
    reached = {shelf.id for found in targets.values() for shelf, _ in found}
    for shelf in opened:
        if shelf.id not in reached:
            yield _created(shelf)
    for source, found in targets.items():
        yield _divided(step, step_id, source, found)
    if moves := [*_moves(step, divided)]:
        yield t.ItemsRefiled, p.ItemsRefiledData(moves=tuple(moves), reason=proposal.reason)
    for one in proposal.closes:
        if one not in divided:
            yield _folded(step, step_id, one)


def _merged(step: Step, step_id: str) -> _Made:
    target = step.proposal.becomes[0]
    held = set[str]().union(*(step.holdings.get(one, set()) for one in step.proposal.closes))
    draft = _draft(target, sorted(held | set(_ids(step, target.items))))
    sources = tuple(step.proposal.closes)
    data = p.CategoriesMergedData(step_id=step_id, sources=sources, target=draft, reason=step.proposal.reason)
    return t.CategoriesMerged, data


def _targets(step: Step, source: str) -> list[tuple[Shelf, list[str]]]:
    """Return where the statements of a closing category go; what has ended goes with the first."""
    rows = set(_rows(step, source))
    shelves = [shelf for shelf in step.proposal.becomes if rows & set(shelf.items)]
    found = [(shelf, _ids(step, [row for row in shelf.items if row in rows])) for shelf in shelves]
    listed = {item for _, items in found for item in items}
    found[0][1].extend(sorted(step.holdings.get(source, set()) - listed))
    return found


def _divided(step: Step, step_id: str, source: str, found: list[tuple[Shelf, list[str]]]) -> _Made:
    targets = tuple(_draft(shelf, items) for shelf, items in found)
    data = p.CategorySplitData(step_id=step_id, source=source, targets=targets, reason=step.proposal.reason)
    return t.CategorySplit, data


def _folded(step: Step, step_id: str, source: str) -> _Made:
    """Close a category that holds nothing any more: it is folded into the one that holds most of what it held."""
    target = step.before.shelves[_heir(step, source)]
    draft = p.CategoryDraft(category_id=target.id, name=target.name, description=target.description)
    data = p.CategoriesMergedData(step_id=step_id, sources=(source,), target=draft, reason=step.proposal.reason)
    return t.CategoriesMerged, data


def _heir(step: Step, source: str) -> str:
    rows, closed = set(_rows(step, source)), set(step.proposal.closes)
    left = [shelf for shelf in step.before.shelves.values() if shelf.id not in closed]
    return max(left, key=lambda shelf: (len(rows & set(shelf.items)), shelf.id)).id


def _moves(step: Step, divided: list[str]) -> Iterator[p.Refiling]:
    """Yield the moves between categories that stay, and those out of categories that close without being divided."""
    after = step.proposal.apply(step.before)
    old, new = step.before.homes(), after.homes()
    held = {row for one in step.proposal.touches for row in _rows(step, one)}
    held.update(row for shelf in step.proposal.becomes for row in shelf.items)
    for row in sorted(held):
        item = step.facts.rows[row].id
        gone = [one for one in old.get(row, ()) if one not in new.get(row, ()) and one not in divided]
        come = [one for one in new.get(row, ()) if one not in old.get(row, ()) and not _came(step, divided, row)]
        for place in range(max(len(gone), len(come))):
            source = gone[place] if place < len(gone) else None
            target = come[place] if place < len(come) else None
            yield p.Refiling(item_id=item, source=source, target=target)
    for one in step.proposal.closes:
        if one not in divided:
            live = set(_ids(step, _rows(step, one)))
            for item in sorted(step.holdings.get(one, set()) - live):
                yield p.Refiling(item_id=item, source=one, target=_heir(step, one))


def _came(step: Step, divided: list[str], row: int) -> bool:
    """Tell whether a row reaches its new categories with the division of one of its old ones."""
    return any(row in step.before.shelves[one].items for one in divided)


def _files(step: Step, covers: int) -> Iterator[_Made]:
    for shelf in step.proposal.becomes:
        before = step.before.shelves.get(shelf.id)
        if shelf.items and (before is None or before.quoted != shelf.quoted):
            text, citations = file_of(shelf, step.facts)
            yield (
                t.CategorySummarized,
                p.CategorySummarizedData(
                    category_id=shelf.id, text=text, citations=citations, covers=covers, summarizer=SUMMARIZER
                ),
            )


def file_of(shelf: Shelf, facts: Facts) -> tuple[str, tuple[str, ...]]:
    """Return the text of a category's file, and the statements that it cites."""
    rows = sorted(shelf.quoted, key=lambda row: (facts.rows[row].happened or _UNDATED, row))
    lines = [Line(facts.rows[row].id, facts.rows[row].line, facts.rows[row].happened) for row in rows]
    return page(shelf.name, shelf.description, lines, len(shelf.items))


def _created(shelf: Shelf) -> _Made:
    data = p.CategoryCreatedData(
        category_id=shelf.id, name=shelf.name, description=shelf.description, origin="evolution"
    )
    return t.CategoryCreated, data


def _draft(shelf: Shelf, items: list[str]) -> p.CategoryDraft:
    return p.CategoryDraft(
        category_id=shelf.id, name=shelf.name, description=shelf.description, items=tuple(dict.fromkeys(items))
    )


def _rows(step: Step, identifier: str) -> tuple[int, ...]:
    shelf = step.before.shelves.get(identifier)
    return shelf.items if shelf is not None else ()


def _ids(step: Step, rows: "tuple[int, ...] | list[int]") -> list[str]:
    return [step.facts.rows[row].id for row in rows]
