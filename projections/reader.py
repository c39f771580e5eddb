"""Reading one user's memory: a view of the ledger that cannot see anybody else's rows.

Every query names the scope, and takes the position that it answers for: the present one, or one in the past.
All methods block; services call them in threads.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from memstream.events.errors import NotFound
from memstream.events.payloads import Span
from memstream.events.subjects import Scope

from . import records
from .ledger import Ledger
from .models import (
    Category,
    CategoryFile,
    CategoryName,
    Counts,
    Item,
    ParkedEvent,
    Resource,
    Segment,
    SourceRef,
    Statement,
)
from .parking import parked_events
from .progress import progress_of

Parameters = list[Any]

# An agent echoes what it was told lately; the answer must fit into one message between processes.
_SERVED_ITEMS = 2_000
_SERVED_SEGMENTS = 300
# Looking through so short a list costs half of what it costs to plan a join, and through a long one far more.
_FEW = 32


class Reader:
    """One user's memory as of a position (default: the present)."""

    def __init__(self, ledger: Ledger, scope: Scope, as_of: int | None = None) -> None:
        self._ledger = ledger
        self._scope = scope.key
        self._as_of = as_of

    @property
    def as_of(self) -> int:
        """The position that this reader answers for."""
        return self._ledger.position if self._as_of is None else self._as_of

    def items(
        self,
        *,
        resource_id: str | None = None,
        limit: int | None = None,
        after: int = 0,
    ) -> list[Item]:
        """Return live items in the order in which they were made."""
        where = ""
        values: Parameters = []
        if resource_id is not None:
            where = "AND i.id IN (SELECT item_id FROM sources WHERE scope = ? AND resource_id = ?)"
            values = [self._scope, resource_id]
        rows = self._rows(
            f"SELECT i.id, i.kind, i.text, i.speaker, i.happened, i.made, i.ended, i.end_reason, i.successor "
            f"FROM items i WHERE i.scope = ? {where} AND {_live('i')} ORDER BY i.made, i.rowid {_page(limit, after)}",
            [self._scope, *values, *self._moment()],
        )
        return self._with_relations([self._as_was(records.item(row)) for row in rows])

    def statements(self, category_ids: Sequence[str], latest: int) -> dict[str, list[Statement]]:
        """Return the ``latest`` live items of some categories, oldest first."""
        rows = self._rows(
            f"SELECT l.category_id, i.id, i.text, i.speaker, i.happened, i.made, i.made IN (SELECT p.made FROM parts p "
            f"WHERE p.scope = ? AND p.prompt_version IS NOT NULL AND p.stage = 'extracted') FROM links l "
            f"JOIN items i ON i.scope = l.scope AND i.id = l.item_id AND {_live('i')} "
            f"WHERE l.scope = ? AND list_contains(?::VARCHAR[], l.category_id) AND {_live('l')} "
            f"QUALIFY row_number() OVER (PARTITION BY l.category_id ORDER BY i.made DESC, i.id) <= ? "
            f"ORDER BY i.made, i.id",
            [self._scope, *self._moment(), self._scope, list(category_ids), *self._moment(), latest],
        )
        found: dict[str, list[Statement]] = {}
        for category, *values in rows:
            found.setdefault(category, []).append(Statement(*values))
        return found

    def item(self, item_id: str) -> Item:
        """Return one item, also one that has ended; raise NotFound."""
        rows = self._rows(
            "SELECT id, kind, text, speaker, happened, made, ended, end_reason, successor FROM items "
            "WHERE scope = ? AND id = ? AND made <= ? ORDER BY made DESC LIMIT 1",
            [self._scope, item_id, self.as_of],
        )
        if not rows:
            raise NotFound(f"no item {item_id!r} in this user's memory; list them with 'items'")
        return self._with_relations([self._as_was(records.item(rows[0]))])[0]

    def categories(self, *, ids: Sequence[str] | None = None) -> list[Category]:
        """Return the live categories, largest first."""
        where = ""
        values: Parameters = []
        if ids is not None:
            where, values = "AND list_contains(?::VARCHAR[], c.id)", [list(ids)]
        rows = self._rows(
            f"SELECT c.id, c.name, c.description, c.origin, c.made, c.ended FROM categories c "
            f"WHERE c.scope = ? {where} AND {_live('c')}",
            [self._scope, *values, *self._moment()],
        )
        theirs = where.replace("c.id", "category_id")
        held = dict(
            self._rows(
                f"SELECT l.category_id, count(*) FROM links l WHERE l.scope = ? {theirs} AND {_live('l')} AND l.item_id "
                f"IN (SELECT i.id FROM items i WHERE i.scope = ? AND {_live('i')}) GROUP BY l.category_id",
                [self._scope, *values, *self._moment(), self._scope, *self._moment()],
            )
        )
        written = dict(
            self._rows(
                f"SELECT category_id, max(version) FROM files WHERE scope = ? {theirs} AND made <= ? GROUP BY category_id",
                [self._scope, *values, self.as_of],
            )
        )
        found = [
            Category(
                id=row[0],
                name=row[1],
                description=row[2],
                origin=row[3],
                items=held.get(row[0], 0),
                file_version=written.get(row[0], 0),
                made=row[4],
                ended=self._ended(row[5]),
            )
            for row in rows
        ]
        return sorted(found, key=lambda one: (-one.items, one.made, one.id))

    def category_names(self) -> list[CategoryName]:
        """Return id, name, description and origin of the live categories, oldest first: all that filing needs."""
        rows = self._rows(
            f"SELECT c.id, c.name, c.description, c.origin FROM categories c WHERE c.scope = ? AND {_live('c')} "
            "ORDER BY c.made, c.id",
            [self._scope, *self._moment()],
        )
        return [CategoryName(id=row[0], name=row[1], description=row[2], origin=row[3]) for row in rows]

    def category(self, reference: str) -> Category:
        """Return a live category by id or name; raise NotFound."""
        found = [one for one in self.categories() if reference in (one.id, one.name)]
        if not found:
            raise NotFound(f"no category {reference!r} in this user's memory; list them with 'files'")
        return found[0]

    def files(self, *, ids: Sequence[str] | None = None) -> list[CategoryFile]:
        """Return the category files of this moment, by name."""
        where = ""
        values: Parameters = []
        if ids is not None:
            where, values = "AND list_contains(?::VARCHAR[], f.category_id)", [list(ids)]
        rows = self._rows(
            f"SELECT f.category_id, c.name, f.version, f.text, f.citations, f.covers, f.summarizer, f.made FROM files f "
            f"JOIN categories c ON c.scope = f.scope AND c.id = f.category_id AND {_live('c')} "
            f"WHERE f.scope = ? {where} AND {_live('f')} ORDER BY c.name, f.category_id",
            [*self._moment(), self._scope, *values, *self._moment()],
        )
        return [
            CategoryFile(
                category_id=row[0],
                name=row[1],
                path=f"categories/{_file_name(row[1])}.md",
                version=row[2],
                text=row[3],
                citations=tuple(row[4]),
                covers=row[5],
                summarizer=row[6],
                made=row[7],
            )
            for row in rows
        ]

    def file(self, reference: str) -> CategoryFile:
        """Return the file of a category named by id or name; raise NotFound."""
        category = self.category(reference)
        files = self.files(ids=[category.id])
        if not files:
            raise NotFound(f"category {category.name!r} has no file yet; it is written after its items are embedded")
        return files[0]

    def resources(
        self, *, ids: Sequence[str] | None = None, limit: int | None = None, after: int = 0
    ) -> list[Resource]:
        """Return the resources in the order in which they came."""
        where = ""
        values: Parameters = []
        if ids is not None:
            where, values = "AND list_contains(?::VARCHAR[], r.id)", [list(ids)]
        rows = self._rows(
            f"SELECT r.id, r.name, r.modality, r.media_type, r.digest, r.size, r.session, r.agent, r.time, r.made, "
            f"r.ended FROM resources r WHERE r.scope = ? {where} AND {_live('r')} ORDER BY r.made {_page(limit, after)}",
            [self._scope, *values, *self._moment()],
        )
        progress = progress_of(self._ledger, self._scope, [row[0] for row in rows], self.as_of)
        return [records.resource((*row[:-1], self._ended(row[-1])), progress[row[0]]) for row in rows]

    def resource(self, resource_id: str) -> Resource:
        """Return one resource; raise NotFound."""
        found = self.resources(ids=[resource_id])
        if not found:
            raise NotFound(f"no resource {resource_id!r} in this user's memory; list them with 'resources'")
        return found[0]

    def segments(self, *, ids: Sequence[str] | None = None, resource_id: str | None = None) -> list[Segment]:
        """Return segments by resource and order in it."""
        where = ""
        values: Parameters = []
        if ids is not None:
            where, values = "AND list_contains(?::VARCHAR[], s.id)", [list(ids)]
        if resource_id is not None:
            where += " AND s.resource_id = ?"
            values.append(resource_id)
        rows = self._rows(
            f"SELECT s.id, s.resource_id, r.name, s.ordinal, s.unit, s.span_start, s.span_end, s.text, s.message_ids, "
            f"s.speakers, s.time, s.made FROM segments s JOIN resources r ON r.scope = s.scope AND r.id = s.resource_id "
            f"WHERE s.scope = ? {where} AND {_live('s')} ORDER BY r.made, s.ordinal",
            [self._scope, *values, *self._moment()],
        )
        return [records.segment(row) for row in rows]

    def counts(self) -> Counts:
        """Count what this user's memory holds."""
        live = {
            "resources": "resources t",
            "segments": "segments t",
            "items": "items t",
            "categories": "categories t",
        }
        numbers = {
            name: self._number(f"SELECT count(*) FROM {table} WHERE t.scope = ? AND {_live('t')}", self._moment())
            for name, table in live.items()
        }
        for name in ("retrievals", "feedback"):
            numbers[name] = self._number(f"SELECT count(*) FROM {name} WHERE scope = ? AND made <= ?", [self.as_of])
        numbers["parked"] = self._number("SELECT count(*) FROM parked WHERE scope = ? AND position <= ?", [self.as_of])
        return Counts(**numbers, position=self.as_of)

    def parked(self) -> list[ParkedEvent]:
        """Return this user's parked events."""
        return parked_events(self._ledger, self._scope, as_of=self.as_of)

    def served(self, retrieval_id: str) -> set[str] | None:
        """Return the ids that a retrieval returned; None when it was never served to this user."""
        if not self._number("SELECT count(*) FROM retrievals WHERE scope = ? AND id = ?", [retrieval_id]):
            return None
        rows = self._rows("SELECT id FROM hits WHERE scope = ? AND retrieval_id = ?", [self._scope, retrieval_id])
        return {row[0] for row in rows}

    def served_items(self) -> list[tuple[str, str, str | None]]:
        """Return id, text and speaker of all items and segments that recall has ever returned, for echo detection.

        A segment has no speaker: whoever repeats its lines, it is an echo.
        """
        shown = sorted(self._served_segments())
        segments = [(one.id, one.text, None) for one in self.segments(ids=shown)] if shown else []
        items: list[tuple[str, str, str | None]] = [
            (row[0], row[1], row[2])
            for row in self._rows(
                f"SELECT i.id, i.text, i.speaker FROM items i WHERE i.scope = ? AND {_live('i')} AND i.id IN "
                f"(SELECT id FROM hits WHERE scope = ? AND layer = 'item') ORDER BY i.made DESC, i.id LIMIT {_SERVED_ITEMS}",
                [self._scope, *self._moment(), self._scope],
            )
        ]
        return [*items, *segments]

    def _served_segments(self) -> set[str]:
        rows = self._rows(
            "SELECT id FROM hits WHERE scope = ? AND layer = 'resource' "
            f"GROUP BY id ORDER BY max(made) DESC LIMIT {_SERVED_SEGMENTS}",
            [self._scope],
        )
        return {row[0] for row in rows}

    def speakers(self) -> list[str]:
        """Return who has said something in this memory, most talkative first."""
        rows = self._rows(
            f"SELECT i.speaker, count(*) AS said FROM items i WHERE i.scope = ? AND i.speaker IS NOT NULL AND {_live('i')} "
            "GROUP BY i.speaker ORDER BY said DESC, i.speaker",
            [self._scope, *self._moment()],
        )
        return [row[0] for row in rows]

    def _with_relations(self, items: list[Item]) -> list[Item]:
        ids = [item.id for item in items]
        sources: dict[str, list[SourceRef]] = {}
        for row in self._rows(
            f"SELECT s.item_id, s.resource_id, s.segment_id, s.unit, s.span_start, s.span_end, s.message_ids, s.time "
            f"FROM sources s WHERE s.scope = ? AND {_among('s.item_id', ids)} AND {_live('s')} "
            "ORDER BY s.made, s.span_start",
            [self._scope, ids, *self._moment()],
        ):
            span = Span(unit=row[3], start=row[4], end=row[5])
            reference = SourceRef(
                resource_id=row[1], segment_id=row[2], span=span, message_ids=tuple(row[6] or ()), time=row[7]
            )
            sources.setdefault(row[0], []).append(reference)
        links = _grouped(
            self._rows(
                f"SELECT l.item_id, l.category_id FROM links l WHERE l.scope = ? AND "
                f"{_among('l.item_id', ids)} AND {_live('l')} ORDER BY l.made, l.category_id",
                [self._scope, ids, *self._moment()],
            )
        )
        return [
            item.model_copy(
                update={
                    "sources": tuple(sources.get(item.id, ())),
                    "categories": tuple(links.get(item.id, ())),
                }
            )
            for item in items
        ]

    def status_of(self, resource_id: str) -> str:
        """Return the status of one resource alone; ``ingested`` for one that is not known yet."""
        return progress_of(self._ledger, self._scope, [resource_id], self.as_of)[resource_id].status

    def _ended(self, position: int | None) -> int | None:
        """Return where a row ended, unless that was still to come."""
        return None if position is None or position > self.as_of else position

    def _as_was(self, item: Item) -> Item:
        if item.ended is None or item.ended <= self.as_of:
            return item
        return item.model_copy(update={"ended": None, "end_reason": None, "successor": None})

    def _moment(self) -> Parameters:
        return [self.as_of, self.as_of]

    def _rows(self, query: str, values: Parameters | dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._ledger.rows(query, values)

    def _number(self, query: str, values: Parameters) -> int:
        return int(self._rows(query, [self._scope, *values])[0][0])


def _live(alias: str) -> str:
    """Write the condition that a row lived at a moment; it takes the moment's position twice."""
    return f"({alias}.made <= ? AND ({alias}.ended IS NULL OR {alias}.ended > ?))"


def _among(column: str, ids: Sequence[str]) -> str:
    """Write the condition that a column is one of some ids; it takes their list once."""
    return (
        f"list_contains(?::VARCHAR[], {column})" if len(ids) <= _FEW else f"{column} IN (SELECT unnest(?::VARCHAR[]))"
    )


def _page(limit: int | None, after: int) -> str:
    return "" if limit is None else f"LIMIT {int(limit)} OFFSET {int(after)}"


def _file_name(name: str) -> str:
    """Make a category's name safe as a file's: it may come from anywhere."""
    return re.sub(r"[^\w-]", "_", name) or "_"


def _grouped(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for owner, member in rows:
        groups.setdefault(owner, []).append(member)
    return groups
