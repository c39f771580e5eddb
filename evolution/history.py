"""The steps of the past: what was tried, what each accepted step moved, and what was undone since.

All of it is read from the ledger: a step is its trial and the events that name the trial as their cause.
"""

from collections import Counter
from typing import Any

from memstream.events.errors import NotFound
from memstream.events.payloads import Frozen
from memstream.projections.ledger import Ledger

from .steps import trial_id


class Theme(Frozen):
    """A category at a place in the genealogy: its name then, and whether it lives now."""

    id: str
    name: str
    live: bool


class Passage(Frozen):
    """How many statements a step moved from one category (None: they had only been elsewhere) into another."""

    source: str | None
    target: str | None
    items: int


class PastStep(Frozen):
    """A trial and, where it was accepted, what the step did; ``reverted`` is the position at which it was undone."""

    step_id: str
    kind: str
    proposal: str
    retrievals: int
    before: float
    after: float
    interval: tuple[float, float]
    accepted: bool
    reason: str
    position: int
    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    summarized: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    reverted: int | None = None


class History(Frozen):
    """A user's evolution, oldest step first; ``categories`` names every category that takes part."""

    paused: bool
    policy: str
    steps: tuple[PastStep, ...]
    categories: tuple[Theme, ...]


def history(ledger: Ledger, scope: str, *, rejected: bool = True) -> History:
    """Return what evolution did to a user's memory, and with ``rejected`` also what it left."""
    rows = ledger.rows(
        "SELECT step_id, kind, proposal, retrievals, before, after, low, high, accepted, reason, made FROM trials "
        "WHERE scope = ? AND (accepted OR ?) ORDER BY made",
        [scope, rejected],
    )
    undone = dict(
        ledger.rows("SELECT step_id, max(made) FROM steps WHERE scope = ? AND kind = 'revert' GROUP BY ALL", [scope])
    )
    steps = tuple(_step(ledger, scope, row, undone) for row in rows)
    paused, policy = configured(ledger, scope)
    return History(paused=paused, policy=policy, steps=steps, categories=_themes(ledger, scope, steps))


def step(ledger: Ledger, scope: str, step_id: str) -> PastStep:
    """Return one step, found by its id or the beginning of it; raise NotFound."""
    found = [one for one in history(ledger, scope).steps if one.step_id.startswith(step_id)]
    if len({one.step_id for one in found}) != 1:
        how = "no step" if not found else f"{len(found)} steps"
        raise NotFound(f"{how} {step_id!r} in this user's evolution; list them with 'evolve history'")
    return found[-1]


def configured(ledger: Ledger, scope: str) -> tuple[bool, str]:
    """Return whether a user's evolution is paused, and by which policy it goes on."""
    rows = ledger.rows("SELECT paused, policy FROM evolutions WHERE scope = ? ORDER BY made DESC LIMIT 1", [scope])
    return (bool(rows[0][0]), str(rows[0][1])) if rows else (False, "default")


def positions_of(ledger: Ledger, scope: str, step_id: str) -> list[int]:
    """Return the positions of the events of a step, its trial first."""
    trial = trial_id(step_id)
    rows = ledger.rows(
        "SELECT position FROM events WHERE scope = ? AND (id = ? OR causation = ?) ORDER BY position",
        [scope, trial, trial],
    )
    return [row[0] for row in rows]


def _step(ledger: Ledger, scope: str, row: tuple[Any, ...], undone: dict[str, int]) -> PastStep:
    step_id, kind, proposal, retrievals, before, after, low, high, accepted, reason, made = row
    told: dict[str, Any] = {}
    if accepted:
        told = _done(ledger, scope, positions_of(ledger, scope, step_id))
    return PastStep(
        step_id=step_id,
        kind=kind,
        proposal=proposal,
        retrievals=retrievals,
        before=before,
        after=after,
        interval=(low, high),
        accepted=accepted,
        reason=reason,
        position=made,
        reverted=undone.get(step_id),
        **told,
    )


def _done(ledger: Ledger, scope: str, positions: list[int]) -> dict[str, Any]:
    values = {"scope": scope, "positions": positions}
    within = "scope = $scope AND list_contains($positions::BIGINT[], {})"

    def ids(table: str, column: str, edge: str) -> tuple[str, ...]:
        rows = ledger.rows(f"SELECT DISTINCT {column} FROM {table} WHERE {within.format(edge)} ORDER BY ALL", values)
        return tuple(row[0] for row in rows)

    moved = ledger.rows(
        f"""
        WITH gone AS (SELECT item_id, category_id FROM links WHERE {within.format("ended")}),
        come AS (SELECT item_id, category_id FROM links WHERE {within.format("made")})
        SELECT gone.category_id, come.category_id, count(*) FROM gone FULL JOIN come ON come.item_id = gone.item_id
        GROUP BY ALL ORDER BY count(*) DESC, 1, 2
        """,
        values,
    )
    return {
        "opened": ids("categories", "id", "made"),
        "closed": ids("categories", "id", "ended"),
        "summarized": ids("files", "category_id", "made"),
        "passages": tuple(Passage(source=source, target=target, items=count) for source, target, count in moved),
    }


def _themes(ledger: Ledger, scope: str, steps: tuple[PastStep, ...]) -> tuple[Theme, ...]:
    counted: Counter[str] = Counter()
    for one in steps:
        counted.update([*one.opened, *one.closed, *one.summarized])
        counted.update(end for passage in one.passages for end in (passage.source, passage.target) if end)
    rows = ledger.rows(
        "SELECT id, arg_max(name, made), bool_or(ended IS NULL) FROM categories WHERE scope = ? GROUP BY id ORDER BY id",
        [scope],
    )
    return tuple(Theme(id=one, name=name, live=live) for one, name, live in rows if one in counted)
