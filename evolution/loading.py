"""Reading what evolution knows from the projection: the live structure, the statements, the retrievals that were used."""

from datetime import datetime
from typing import Any

import numpy as np

from memstream.events.subjects import Scope
from memstream.projections.ledger import Ledger
from memstream.projections.live import Projection
from memstream.projections.usage import Served, Usage
from memstream.projections.words import content_words, count_tokens, spoken_date

from .evidence import Evidence, Fact, Facts, Recorded
from .extractive import line_of
from .quoting import quoted
from .run import Made, Past
from .structure import Shelf, Structure

_LIVE = "made <= $as_of AND (ended IS NULL OR ended > $as_of)"
# A proposal that was rejected is not tried again until this share of new retrievals has come.
_FRESH = 1.2


async def load(
    at: Projection, scope: Scope, space: str, *, latest: int, as_of: int | None = None
) -> tuple[Structure, Evidence]:
    """Return a user's structure and evidence as of a position (default: the present)."""
    moment = at.ledger.position if as_of is None else as_of
    rows = await at.ledger.reading(_facts, at.ledger, scope.key, moment)
    found = await at.index.vectors_of(scope.key, "item", space, [row[0] for row in rows])
    return await at.ledger.reading(_loaded, at.ledger, scope.key, space, moment, latest, rows, found)


def _loaded(
    ledger: Ledger, scope: str, space: str, moment: int, latest: int, rows: list[tuple[Any, ...]], found: dict[str, Any]
) -> tuple[Structure, Evidence]:
    facts = Facts(tuple(_fact(row) for row in rows), _unit(rows, found))
    served = Usage(ledger, scope, moment).retrievals(space, latest)
    recorded = tuple(one for one in (_recorded(one, facts) for one in served) if one.used)
    return _structure(ledger, scope, moment, facts), Evidence(scope, moment, facts, recorded)


def _facts(ledger: Ledger, scope: str, moment: int) -> list[tuple[Any, ...]]:
    """Read the live statements in the order in which they were said."""
    return ledger.rows(
        """
        WITH told AS (
            SELECT s.item_id, s.resource_id, s.span_start, coalesce(s.time, r.time) AS time, r.made
            FROM sources s JOIN resources r ON r.scope = s.scope AND r.id = s.resource_id
            WHERE s.scope = $scope AND s.made <= $as_of
            QUALIFY row_number() OVER (PARTITION BY s.item_id ORDER BY s.made, s.span_start) = 1
        )
        SELECT i.id, i.text, i.context, i.speaker, i.happened, t.resource_id, t.time FROM items i
        LEFT JOIN told t ON t.item_id = i.id WHERE i.scope = $scope AND i.made <= $as_of AND (i.ended IS NULL OR i.ended > $as_of)
        ORDER BY t.time, t.made, t.span_start, i.id
        """,
        {"scope": scope, "as_of": moment},
    )


def _fact(row: tuple[Any, ...]) -> Fact:
    identifier, text, context, speaker, happened, resource, time = row
    line = line_of(text, speaker, happened)
    around = content_words(f"{spoken_date(happened)} {context} {speaker or ''}")
    day: datetime | None = happened or time
    return Fact(
        id=identifier,
        line=line,
        words=(*around, *content_words(text)),
        session=f"{resource} {time.date() if time else ''}",
        day=f"{day:%Y-%m-%d}" if day else "",
        tokens=count_tokens(line + "\n"),
        happened=happened,
    )


def _unit(rows: list[tuple[Any, ...]], found: dict[str, Any]) -> Any:
    width = next((len(one) for one in found.values()), 0)
    vectors = np.zeros((len(rows), width), np.float32)
    for place, row in enumerate(rows):
        if (vector := found.get(row[0])) is not None:
            vectors[place] = vector / np.float32(float(np.linalg.norm(vector)) or 1.0)
    return vectors


def _recorded(one: Served, facts: Facts) -> Recorded:
    known = facts.row_of
    return Recorded(
        one.id,
        one.made,
        frozenset(content_words(one.query)),
        one.vector,
        tuple(known[item] for item in one.items if item in known),
        tuple(known[item] for item in one.used if item in known),
        one.weight,
    )


def _structure(ledger: Ledger, scope: str, moment: int, facts: Facts) -> Structure:
    values = {"scope": scope, "as_of": moment}
    links = ledger.rows(
        f"SELECT category_id, list(item_id) FROM links WHERE scope = $scope AND {_LIVE} GROUP BY category_id", values
    )
    held = {one: tuple(sorted(facts.row_of[item] for item in items if item in facts.row_of)) for one, items in links}
    files = dict(ledger.rows(f"SELECT category_id, citations FROM files WHERE scope = $scope AND {_LIVE}", values))
    rows = ledger.rows(
        f"SELECT id, name, description, origin FROM categories WHERE scope = $scope AND {_LIVE} ORDER BY made, id",
        values,
    )
    return Structure.of(
        Shelf(one, name, description, held.get(one, ()), _quoted(files.get(one), held.get(one, ()), facts), origin)
        for one, name, description, origin in rows
    )


def _quoted(citations: list[str] | None, held: tuple[int, ...], facts: Facts) -> frozenset[int]:
    return frozenset(facts.row_of[one] for one in citations or () if one in facts.row_of).intersection(held)


def past_of(ledger: Ledger, scope: str, moment: int, retrievals: int) -> Past:
    """Return what earlier runs did to a user's memory, and what they rejected on nearly the same evidence."""
    values = {"scope": scope, "as_of": moment}
    rows = ledger.rows(
        "SELECT s.kind, s.sources, s.targets, (SELECT count(DISTINCT f.retrieval_id) FROM feedback f "
        "WHERE f.scope = s.scope AND f.made > s.made AND f.made <= $as_of) FROM steps s "
        "WHERE s.scope = $scope AND s.made <= $as_of AND s.kind IN ('merge', 'split') ORDER BY s.made",
        values,
    )
    tried = ledger.rows(
        "SELECT step_id FROM trials WHERE scope = $scope AND made <= $as_of AND NOT accepted "
        "GROUP BY step_id HAVING max(retrievals) * $fresh > $newer",
        {**values, "fresh": _FRESH, "newer": retrievals},
    )
    made = tuple(Made(kind, frozenset(sources), frozenset(targets), since) for kind, sources, targets, since in rows)
    return Past(made, frozenset(row[0] for row in tried))


def original(ledger: Ledger, scope: str, moment: int, facts: Facts) -> Structure:
    """Return the structure that extraction alone would have made: no step was ever taken."""
    links = ledger.rows(
        "SELECT l.category_id, list(DISTINCT l.item_id) FROM links l JOIN events e ON e.position = l.made "
        "WHERE l.scope = $scope AND l.made <= $as_of AND e.type = 'items.extracted' GROUP BY l.category_id",
        {"scope": scope, "as_of": moment},
    )
    held = {one: tuple(sorted(facts.row_of[item] for item in items if item in facts.row_of)) for one, items in links}
    rows = ledger.rows(
        "SELECT id, arg_min(name, made), arg_min(description, made), arg_min(origin, made) FROM categories "
        "WHERE scope = $scope AND made <= $as_of AND origin <> 'evolution' GROUP BY id ORDER BY min(made), id",
        {"scope": scope, "as_of": moment},
    )
    return Structure.of(
        Shelf(one, name, description, held.get(one, ()), quoted(held.get(one, ()), facts), origin)
        for one, name, description, origin in rows
    )
