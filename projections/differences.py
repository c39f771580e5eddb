"""What changed in a user's memory between two positions of the log, layer by layer and in words."""

import difflib

from memstream.events.subjects import Scope

from .ledger import Ledger
from .models import Change, FileChange, MemoryDiff, Moved
from .reader import Reader

_SHOWN = 90


def difference(ledger: Ledger, scope: Scope, since: int, until: int) -> MemoryDiff:
    """Return what was made, ended, moved and rewritten in ``(since, until]``."""
    span: dict[str, str | int] = {"scope": scope.key, "since": since, "until": until}
    added = _changes(
        ledger,
        "SELECT id, text, made, NULL FROM items WHERE scope = $scope AND made > $since AND made <= $until "
        "AND (ended IS NULL OR ended > $until) AND id NOT IN "
        "(SELECT id FROM items WHERE scope = $scope AND made <= $since)",
        span,
    )
    ended = _changes(
        ledger,
        "SELECT id, text, ended, end_reason FROM items i WHERE scope = $scope AND made <= $since "
        "AND ended > $since AND ended <= $until",
        span,
    )
    diff = MemoryDiff(
        since=since,
        until=until,
        resources=_changes(
            ledger,
            "SELECT id, name, made, NULL FROM resources WHERE scope = $scope AND made > $since AND made <= $until",
            span,
        ),
        items_added=added,
        items_ended=ended,
        sources_gained=_changes(
            ledger,
            "SELECT i.id, i.text, min(s.made), count(*)::VARCHAR || ' more' FROM sources s JOIN items i "
            "ON i.scope = s.scope AND i.id = s.item_id AND i.ended IS NULL WHERE s.scope = $scope "
            "AND s.made > $since AND s.made <= $until AND i.made <= $since GROUP BY i.id, i.text",
            span,
        ),
        categories_opened=_changes(
            ledger,
            "SELECT id, name, made, NULL FROM categories WHERE scope = $scope AND made > $since AND made <= $until",
            span,
        ),
        categories_closed=_changes(
            ledger,
            "SELECT id, name, ended, NULL FROM categories WHERE scope = $scope AND ended > $since AND ended <= $until",
            span,
        ),
        moved=_moved(ledger, span),
        files=_files(ledger, scope, since, until),
    )
    return diff.model_copy(update={"words": tuple(_words(diff))})


def _changes(ledger: Ledger, query: str, span: dict[str, str | int]) -> tuple[Change, ...]:
    rows = ledger.rows(f"SELECT * FROM ({query}) ORDER BY 3, 1", span)
    return tuple(Change(id=row[0], text=row[1], position=row[2], reason=row[3]) for row in rows)


def _moved(ledger: Ledger, span: dict[str, str | int]) -> tuple[Moved, ...]:
    """Return the items of before that changed their categories."""
    rows = ledger.rows(
        """
        SELECT l.item_id, any_value(i.text), list(DISTINCT c.name) FILTER (l.ended > $since AND l.ended <= $until),
               list(DISTINCT c.name) FILTER (l.made > $since)
        FROM links l JOIN items i ON i.scope = l.scope AND i.id = l.item_id
        JOIN categories c ON c.scope = l.scope AND c.id = l.category_id
        WHERE l.scope = $scope AND i.made <= $since AND l.made <= $until
          AND (l.made > $since OR (l.ended > $since AND l.ended <= $until))
        GROUP BY l.item_id ORDER BY l.item_id
        """,
        span,
    )
    return tuple(
        Moved(id=row[0], text=row[1], out_of=tuple(sorted(row[2] or ())), into=tuple(sorted(row[3] or ())))
        for row in rows
    )


def _files(ledger: Ledger, scope: Scope, since: int, until: int) -> tuple[FileChange, ...]:
    before = {file.category_id: file for file in Reader(ledger, scope, since).files()} if since else {}
    after = {file.category_id: file for file in Reader(ledger, scope, until).files()}
    found: list[FileChange] = []
    for identifier, file in after.items():
        old = before.get(identifier)
        if old is not None and old.version == file.version:
            continue
        lines = list(difflib.ndiff((old.text if old else "").splitlines(), file.text.splitlines()))
        found.append(
            FileChange(
                category_id=identifier,
                name=file.name,
                version_before=old.version if old else 0,
                version_after=file.version,
                added=tuple(line[2:] for line in lines if line.startswith("+ ") and line[2:].strip()),
                removed=tuple(line[2:] for line in lines if line.startswith("- ") and line[2:].strip()),
            )
        )
    return tuple(found)


def _words(diff: MemoryDiff) -> list[str]:
    told = [f"came in: {one.text}" for one in diff.resources]
    told += [f"learned: {_short(one.text)}" for one in diff.items_added]
    told += [f"no longer: {_short(one.text)} ({one.reason or 'ended'})" for one in diff.items_ended]
    told += [f"said again: {_short(one.text)} ({one.reason})" for one in diff.sources_gained]
    told += [f"new category: {one.text}" for one in diff.categories_opened]
    told += [f"category closed: {one.text}" for one in diff.categories_closed]
    told += [
        f"moved: {_short(one.text)} from {', '.join(one.out_of) or 'nowhere'} to {', '.join(one.into) or 'nowhere'}"
        for one in diff.moved
    ]
    told += [
        f"file {one.name}: version {one.version_before} → {one.version_after}, "
        f"{len(one.added)} lines came, {len(one.removed)} went"
        for one in diff.files
    ]
    return told or ["nothing changed"]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
