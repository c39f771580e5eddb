"""Which category files are behind the items that they should cover: read from the ledger, no state of its own."""

from collections.abc import Iterable
from typing import NamedTuple

from memstream.events.subjects import Scope
from memstream.projections.ledger import Ledger

# A file is written again when this share of its items is new: rewriting at every item would cost without use.
GROWTH = 0.2


class StaleCategory(NamedTuple):
    """A category whose file misses items: ``newest`` is the position of the latest change."""

    scope: Scope
    category_id: str
    name: str
    newest: int


def stale_categories(
    ledger: Ledger, scopes: Iterable[str] | None = None, *, growth: float = GROWTH
) -> list[StaleCategory]:
    """Return the categories of which enough items came or went since their file was written.

    ``scopes`` limits the question to some users (scope keys); None asks about everybody. ``growth`` is the share of a
    category's items that must have changed; 0 finds every file that is behind at all.
    """
    wanted = None if scopes is None else sorted(scopes)
    rows = ledger.rows(
        """
        WITH moves AS (
            SELECT l.scope, l.category_id, l.item_id,
                   greatest(l.made, coalesce(l.ended, 0), coalesce(i.ended, 0)) AS changed,
                   l.ended IS NULL AND i.ended IS NULL AS live
            FROM links l JOIN items i ON i.scope = l.scope AND i.id = l.item_id
            WHERE $scopes IS NULL OR list_contains($scopes::VARCHAR[], l.scope)
        ), state AS (
            SELECT c.scope, c.id, c.name, coalesce(max(f.covers), 0) AS covers
            FROM categories c LEFT JOIN files f ON f.scope = c.scope AND f.category_id = c.id AND f.ended IS NULL
            WHERE c.ended IS NULL GROUP BY ALL
        )
        SELECT s.scope, s.id, s.name, max(m.changed) AS newest
        FROM state s JOIN moves m ON m.scope = s.scope AND m.category_id = s.id
        GROUP BY s.scope, s.id, s.name, s.covers
        HAVING count(*) FILTER (m.changed > s.covers) > 0
           AND count(*) FILTER (m.changed > s.covers) >= $growth * count(*) FILTER (m.live)
        ORDER BY newest
        """,
        {"scopes": wanted, "growth": growth},
    )
    return [StaleCategory(Scope.from_key(scope), category, name, newest) for scope, category, name, newest in rows]
