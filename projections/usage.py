"""How one user's memory is used: what each retrieval served, what of that was used, and what follows for the rest.

Explicit feedback counts 1. Where a retrieval has none, use may show by itself: a later conversation quotes a served
statement (extraction skips it as an echo) counts 0.5, the next question of the same session being answered by the same
statement first counts 0.25. Of several verdicts on one hit the latest counts; one that contradicts itself counts for
nothing. Recency is counted in retrievals, not in days: a memory that nobody asks does not forget what helped.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .ledger import Ledger

ECHOED: Final = 0.5
FOLLOWED: Final = 0.25
# After so many further retrievals a verdict counts half.
HALF_LIFE: Final = 200

# One opinion for each hit of a retrieval; and what stands in for it where nobody gave one.
_OPINIONS = """
    verdict AS (
        SELECT retrieval_id, hit_id, bool_or(verdict = 'used') AS used, bool_or(verdict = 'helpful') AS helpful,
               bool_or(verdict = 'wrong') AS wrong, made
        FROM verdicts WHERE scope = $scope AND made <= $as_of AND verdict <> 'missed' GROUP BY retrieval_id, hit_id, made
        QUALIFY row_number() OVER (PARTITION BY retrieval_id, hit_id ORDER BY made DESC) = 1
    ), explicit AS (
        SELECT retrieval_id, hit_id AS id, used, helpful, wrong, 1.0 AS weight FROM verdict
        WHERE NOT (wrong AND (used OR helpful))
    ), silent AS (
        SELECT * FROM retrievals WHERE scope = $scope AND made <= $as_of
        AND id NOT IN (SELECT retrieval_id FROM verdict)
    ), served AS (
        SELECT h.retrieval_id, h.id, h.rank, h.made FROM hits h JOIN silent r ON r.id = h.retrieval_id
        WHERE h.scope = $scope AND h.layer = 'item'
    ), echoed AS (
        SELECT h.retrieval_id, h.id FROM skipped s JOIN served h ON h.id = s.item_id AND h.made < s.made
        WHERE s.scope = $scope AND s.made <= $as_of
        QUALIFY row_number() OVER (PARTITION BY s.item_id, s.made ORDER BY h.made DESC) = 1
    ), following AS (
        SELECT id, lead(id) OVER (PARTITION BY session ORDER BY made) AS next FROM retrievals
        WHERE scope = $scope AND made <= $as_of AND session IS NOT NULL
    ), followed AS (
        SELECT h.retrieval_id, h.id FROM served h JOIN following f ON f.id = h.retrieval_id
        JOIN hits n ON n.scope = $scope AND n.retrieval_id = f.next AND n.layer = 'item' AND n.id = h.id
        WHERE n.rank = 1
    ), implicit AS (
        SELECT retrieval_id, id, max(weight) AS weight FROM (
            SELECT *, $echoed AS weight FROM echoed UNION ALL SELECT *, $followed AS weight FROM followed
        ) GROUP BY retrieval_id, id
    ), opinions AS (
        SELECT * FROM explicit
        UNION ALL SELECT retrieval_id, id, true, false, false, weight FROM implicit
    )"""


class Served(NamedTuple):
    """A retrieval that something was used of, with the items that it returned, best first."""

    id: str
    made: int
    query: str
    vector: NDArray[np.float32]
    items: tuple[str, ...]
    used: tuple[str, ...]
    weight: float


class ItemUsage(NamedTuple):
    """How an item fared: counts, and the same verdicts with decay (``good`` used or helpful, ``bad`` wrong)."""

    served: int
    used: float
    helpful: float
    wrong: float
    good: float
    bad: float


class CategoryUsage(NamedTuple):
    """How a category fared: as a hit, through the items that it holds now, and where those questions were answered."""

    served: int
    helpful: float
    wrong: float
    used: float
    at_category: int
    below: int
    last_used: int | None


class Missing(NamedTuple):
    """A question whose answer was missing, in its asker's words."""

    retrieval_id: str
    query: str
    missing: str
    made: int


class Usage:
    """One user's usage as of a position."""

    def __init__(self, ledger: Ledger, scope: str, as_of: int) -> None:
        self._ledger = ledger
        self._values: dict[str, Any] = {"scope": scope, "as_of": as_of, "echoed": ECHOED, "followed": FOLLOWED}

    def retrievals(self, space: str, latest: int) -> list[Served]:
        """Return the latest retrievals of which an item was used, oldest first, with their vectors in a space."""
        rows = self._rows(
            f"""
            WITH {_OPINIONS}, good AS (
                SELECT retrieval_id, list(id ORDER BY id) AS used, max(weight) AS weight FROM opinions
                WHERE (used OR helpful)
                AND id IN (SELECT id FROM items WHERE scope = $scope AND made <= $as_of) GROUP BY retrieval_id
            ), chosen AS (
                SELECT r.id, r.made, r.rewritten_query, q.vector, g.used, g.weight FROM retrievals r
                JOIN good g ON g.retrieval_id = r.id
                JOIN query_vectors q ON q.scope = r.scope AND q.retrieval_id = r.id AND q.space = $space
                WHERE r.scope = $scope AND r.made <= $as_of ORDER BY r.made DESC LIMIT $latest
            )
            SELECT c.*, (
                SELECT list(h.id ORDER BY h.rank) FROM hits h
                WHERE h.scope = $scope AND h.retrieval_id = c.id AND h.layer = 'item'
            ) FROM chosen c ORDER BY c.made
            """,
            space=space,
            latest=latest,
        )
        return [
            Served(identifier, made, query, _vector(blob), tuple(items or ()), tuple(used), weight)
            for identifier, made, query, blob, used, weight, items in rows
        ]

    def items(self) -> dict[str, ItemUsage]:
        """Return how each item fared that any retrieval served."""
        rows = self._rows(
            f"""
            WITH {_OPINIONS}, aged AS (
                SELECT id, pow(0.5, (count(*) OVER () - row_number() OVER (ORDER BY made)) / $half) AS decay
                FROM retrievals WHERE scope = $scope AND made <= $as_of
            ), counted AS (
                SELECT h.id, count(DISTINCT h.retrieval_id) AS served FROM hits h
                WHERE h.scope = $scope AND h.layer = 'item' AND h.made <= $as_of GROUP BY h.id
            ), judged AS (
                SELECT o.id, sum(weight) FILTER (used) AS used, sum(weight) FILTER (helpful) AS helpful,
                       sum(weight) FILTER (wrong) AS wrong, sum(weight * decay) FILTER (used OR helpful) AS good,
                       sum(weight * decay) FILTER (wrong) AS bad
                FROM opinions o JOIN aged a ON a.id = o.retrieval_id GROUP BY o.id
            )
            SELECT c.id, c.served, coalesce(used, 0), coalesce(helpful, 0), coalesce(wrong, 0), coalesce(good, 0),
                   coalesce(bad, 0) FROM counted c LEFT JOIN judged j ON j.id = c.id ORDER BY c.id
            """,
            half=float(HALF_LIFE),
        )
        return {row[0]: ItemUsage(*row[1:]) for row in rows}

    def categories(self) -> dict[str, CategoryUsage]:
        """Return how each live category fared."""
        rows = self._rows(
            f"""
            WITH {_OPINIONS}, live AS (
                SELECT id FROM categories WHERE scope = $scope AND made <= $as_of AND (ended IS NULL OR ended > $as_of)
            ), shelf AS (
                SELECT category_id, item_id FROM links
                WHERE scope = $scope AND made <= $as_of AND (ended IS NULL OR ended > $as_of)
            ), as_hit AS (
                SELECT h.id, count(*) AS served, sum(o.weight) FILTER (o.used OR o.helpful) AS helpful,
                       sum(o.weight) FILTER (o.wrong) AS wrong
                FROM hits h LEFT JOIN opinions o ON o.retrieval_id = h.retrieval_id AND o.id = h.id
                WHERE h.scope = $scope AND h.layer = 'category' AND h.made <= $as_of GROUP BY h.id
            ), through AS (
                SELECT s.category_id AS id, sum(o.weight) AS used, max(r.made) AS last_used,
                       count(DISTINCT r.id) FILTER (r.sufficient_at = 'category') AS at_category,
                       count(DISTINCT r.id) FILTER (r.sufficient_at IS DISTINCT FROM 'category') AS below
                FROM opinions o JOIN shelf s ON s.item_id = o.id
                JOIN retrievals r ON r.scope = $scope AND r.id = o.retrieval_id
                WHERE o.used OR o.helpful GROUP BY s.category_id
            )
            SELECT live.id, coalesce(served, 0), coalesce(helpful, 0), coalesce(wrong, 0), coalesce(used, 0),
                   coalesce(at_category, 0), coalesce(below, 0), last_used
            FROM live LEFT JOIN as_hit USING (id) LEFT JOIN through USING (id) ORDER BY live.id
            """
        )
        return {row[0]: CategoryUsage(*row[1:]) for row in rows}

    def co_use(self) -> dict[tuple[str, str], float]:
        """Return how often two live categories held what one retrieval used."""
        rows = self._rows(
            f"""
            WITH {_OPINIONS}, held AS (
                SELECT DISTINCT o.retrieval_id, l.category_id, o.weight FROM opinions o
                JOIN links l ON l.scope = $scope AND l.item_id = o.id AND l.made <= $as_of
                     AND (l.ended IS NULL OR l.ended > $as_of)
                WHERE o.used OR o.helpful
            )
            SELECT a.category_id, b.category_id, sum(least(a.weight, b.weight)) FROM held a JOIN held b
            ON a.retrieval_id = b.retrieval_id AND a.category_id < b.category_id GROUP BY ALL ORDER BY ALL
            """
        )
        return {(row[0], row[1]): float(row[2]) for row in rows}

    def missing(self) -> list[Missing]:
        """Return what askers said was missing, oldest first."""
        rows = self._rows(
            "SELECT f.retrieval_id, r.rewritten_query, f.missing, f.made FROM feedback f JOIN retrievals r "
            "ON r.scope = f.scope AND r.id = f.retrieval_id "
            "WHERE f.scope = $scope AND f.made <= $as_of AND f.missing IS NOT NULL ORDER BY f.made"
        )
        return [Missing(*row) for row in rows]

    def judged(self) -> int:
        """Return how many pieces of feedback were given."""
        return int(
            self._rows("SELECT count(*) FROM feedback WHERE scope = $scope AND made <= $as_of")[0][0],
        )

    def _rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        # Only what a query names may be bound.
        bound = {name: value for name, value in {**self._values, **values}.items() if f"${name}" in query}
        return self._ledger.rows(query, bound)


def _vector(blob: bytes) -> NDArray[np.float32]:
    vector = np.frombuffer(blob, "<f2").astype(np.float32)
    return vector / np.float32(float(np.linalg.norm(vector)) or 1.0)
