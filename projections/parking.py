"""Parked events: those that could not be applied, and the later ones of their keys that wait behind them."""

from memstream.events.subjects import Scope

from .ledger import Ledger
from .models import ParkedEvent


def parked_events(ledger: Ledger, scope: str | None = None, *, as_of: int | None = None) -> list[ParkedEvent]:
    """Return the parked events of one scope, or of everybody, in the order of the log."""
    moment = ledger.position if as_of is None else as_of
    rows = ledger.rows(
        "SELECT position, scope, type, event_key, reason, waits_for, recorded, attempts FROM parked "
        "WHERE position <= $moment AND ($scope IS NULL OR scope = $scope) ORDER BY position",
        {"moment": moment, "scope": scope},
    )
    waiting: dict[int, list[int]] = {}
    for row in rows:
        if row[5] is not None:
            waiting.setdefault(row[5], []).append(row[0])
    return [
        ParkedEvent(
            position=row[0],
            **_owner(row[1]),
            type=row[2],
            key=row[3],
            reason=row[4],
            waits_for=row[5],
            recorded=row[6],
            attempts=row[7],
            waiting=tuple(waiting.get(row[0], ())),
        )
        for row in rows
    ]


def attempts_of(ledger: Ledger, positions: list[int]) -> dict[int, int]:
    """Return the attempts so far of those positions, and of all that wait behind them."""
    rows = ledger.rows(
        """
        WITH RECURSIVE chosen AS (
            SELECT position, attempts FROM parked WHERE list_contains($positions::BIGINT[], position)
            UNION SELECT p.position, p.attempts FROM parked p JOIN chosen c ON p.waits_for = c.position
        ) SELECT position, attempts FROM chosen
        """,
        {"positions": positions},
    )
    return dict(rows)


def _owner(key: str) -> dict[str, str]:
    if not key:
        return {}
    scope = Scope.from_key(key)
    return {"tenant": scope.tenant, "user": scope.user}
