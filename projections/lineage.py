"""Lineage: from any category, item, segment or resource to all the others, and to the events behind them."""

from typing import Literal, NamedTuple

from memstream.events.errors import NotFound
from memstream.events.subjects import Scope

from .ledger import Ledger
from .models import EventRef, Lineage

LineageLayer = Literal["category", "item", "segment", "resource"]

# How each layer leads to items, and from items to it; every query takes scope and ids.
_TO_ITEMS: dict[LineageLayer, str] = {
    "category": "SELECT item_id FROM links WHERE scope = ? AND category_id IN (SELECT unnest(?::VARCHAR[]))",
    "item": "SELECT id FROM items WHERE scope = ? AND id IN (SELECT unnest(?::VARCHAR[]))",
    "segment": "SELECT item_id FROM sources WHERE scope = ? AND segment_id IN (SELECT unnest(?::VARCHAR[]))",
    "resource": "SELECT item_id FROM sources WHERE scope = ? AND resource_id IN (SELECT unnest(?::VARCHAR[]))",
}
_TABLES: dict[LineageLayer, str] = {
    "category": "categories",
    "item": "items",
    "segment": "segments",
    "resource": "resources",
}


class _Connected(NamedTuple):
    categories: set[str]
    items: set[str]
    segments: set[str]
    resources: set[str]


def trace(ledger: Ledger, scope: Scope, identifier: str, *, as_of: int | None = None) -> Lineage:
    """Return the lineage of any id of this user as of a position; raise NotFound for an unknown one."""
    moment = ledger.position if as_of is None else as_of
    layer = _layer_of(ledger, scope.key, identifier, moment)
    connected = _connect(ledger, scope.key, layer, identifier, moment)
    return Lineage(
        id=identifier,
        layer=layer,
        categories=tuple(sorted(connected.categories)),
        items=tuple(sorted(connected.items)),
        segments=tuple(sorted(connected.segments)),
        resources=tuple(sorted(connected.resources)),
        events=_events(ledger, scope.key, connected, moment),
    )


def _layer_of(ledger: Ledger, scope: str, identifier: str, moment: int) -> LineageLayer:
    for layer, table in _TABLES.items():
        query = f"SELECT 1 FROM {table} WHERE scope = ? AND id = ? AND made <= ? LIMIT 1"
        if ledger.rows(query, [scope, identifier, moment]):
            return layer
    raise NotFound(
        f"no category, item, segment or resource {identifier!r} in this user's memory; "
        "ids are in the results of retrieve, items, files and resources"
    )


def _connect(ledger: Ledger, scope: str, layer: LineageLayer, identifier: str, moment: int) -> _Connected:
    def ids(query: str, keys: set[str]) -> set[str]:
        return {row[0] for row in ledger.rows(f"{query} AND made <= ?", [scope, sorted(keys), moment])}

    def ending_in(columns: str, table: str, column: str, keys: set[str]) -> set[str]:
        return ids(
            f"SELECT {columns} FROM {table} WHERE scope = ? AND {column} IN (SELECT unnest(?::VARCHAR[]))",
            keys,
        )

    items = ids(_TO_ITEMS[layer], {identifier})
    categories = {identifier} if layer == "category" else ending_in("category_id", "links", "item_id", items)
    segments, resources = set[str](), set[str]()
    if layer in ("category", "item"):
        segments = ending_in("segment_id", "sources", "item_id", items)
        resources = ending_in("resource_id", "sources", "item_id", items)
    elif layer == "segment":
        segments = {identifier}
        resources = ending_in("resource_id", "segments", "id", segments)
    else:
        resources = {identifier}
        segments = ending_in("id", "segments", "resource_id", resources)
    return _Connected(categories, items, segments, resources)


def _events(ledger: Ledger, scope: str, connected: _Connected, moment: int) -> tuple[EventRef, ...]:
    parts = [
        ("SELECT made AS at FROM {} WHERE scope = $scope AND {} IN (SELECT unnest($keys::VARCHAR[]))", False),
        ("SELECT ended AS at FROM {} WHERE scope = $scope AND {} IN (SELECT unnest($keys::VARCHAR[]))", True),
    ]
    origins = [
        ("categories", "id", connected.categories, True),
        ("files", "category_id", connected.categories, True),
        ("items", "id", connected.items, True),
        ("sources", "item_id", connected.items, True),
        ("segments", "id", connected.segments, True),
        ("resources", "id", connected.resources, True),
        ("parts", "resource_id", connected.resources, False),
        ("failures", "resource_id", connected.resources, False),
        ("links", "item_id", connected.items, True),
        ("vectors", "id", connected.items | connected.segments | connected.categories, False),
    ]
    positions: set[int] = set()
    for table, column, keys, ends in origins:
        for query, is_end in parts:
            if is_end and not ends:
                continue
            values = {"scope": scope, "keys": sorted(keys)}
            rows = ledger.rows(query.format(table, column), values)
            positions |= {row[0] for row in rows if row[0] is not None and row[0] <= moment}
    rows = ledger.rows(
        "SELECT position, id, type, time, recorded FROM events WHERE scope = ? AND position IN "
        "(SELECT unnest(?::BIGINT[])) ORDER BY position",
        [scope, sorted(positions)],
    )
    return tuple(EventRef(position=r[0], id=r[1], type=r[2], time=r[3], recorded=r[4]) for r in rows)
