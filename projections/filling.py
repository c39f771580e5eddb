"""Filling corpora with rows of the ledger's tables: those that a commit brings, or those that the ledger holds.

A row is a table's columns in their order (see ``schema``), wherever it comes from.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from .changes import Changes, Ending, IndexedVector, Row
from .corpus import Corpus, Fact, Segments, Versions
from .statements import Filed, Statement, Statements, Told
from .words import content_words, spoken_date


class Gain(NamedTuple):
    """What one commit brought to one user's memory, up to a position of the log."""

    position: int
    rows: Mapping[str, Sequence[Row]]
    endings: Sequence[Ending]
    vectors: Sequence[IndexedVector]

    @property
    def size(self) -> int:
        """How many rows and vectors it holds."""
        return sum(map(len, self.rows.values())) + len(self.vectors)

    def touches(self, layer: str, tables: Container[str]) -> bool:
        """Tell whether a layer that is made of some tables, and of its vectors, has changed."""
        return (
            any(table in tables for table in self.rows)
            or any(ending.table in tables for ending in self.endings)
            or any(vector.layer == layer for vector in self.vectors)
        )


def gains(changes: Changes, position: int, scopes: Container[str]) -> dict[str, Gain]:
    """Return what a commit brought to each of some scopes."""
    rows: dict[str, dict[str, list[Row]]] = {}
    endings: dict[str, list[Ending]] = {}
    vectors: dict[str, list[IndexedVector]] = {}
    for table, added in changes.rows.items():
        for row in added:
            if (scope := str(row[0])) in scopes:
                rows.setdefault(scope, {}).setdefault(table, []).append(row)
    for ending in changes.endings:
        endings.setdefault(ending.scope, []).append(ending)
    for vector in changes.vectors:
        vectors.setdefault(vector.scope, []).append(vector)
    named = [scope for scope in {*rows, *endings, *vectors} if scope in scopes]
    return {
        scope: Gain(position, rows.get(scope, {}), endings.get(scope, ()), vectors.get(scope, ())) for scope in named
    }


def take(corpus: Corpus, gain: Gain, layer: str, space: str | None) -> None:
    """Bring a corpus up to a commit's position."""
    if isinstance(corpus, Statements):
        add_statements(corpus, gain.rows)
    elif isinstance(corpus, Segments):
        add_segments(corpus, gain.rows)
    elif isinstance(corpus, Versions):
        _add_versions(corpus, gain.rows)
    for ending in gain.endings:
        _end(corpus, ending, layer)
    found = [vector for vector in gain.vectors if vector.layer == layer and vector.space == space]
    if found:
        matrix = np.stack([np.frombuffer(vector.vector, "<f2") for vector in found]).astype(np.float32)
        corpus.embed([vector.id for vector in found], [vector.position for vector in found], matrix)
    corpus.position = gain.position


def _end(corpus: Corpus, ending: Ending, layer: str) -> None:
    if isinstance(corpus, Statements) and ending.table == "links":
        category, item = ending.key
        corpus.unfile(category, item, ending.position)
    elif ending.table == f"{layer}s" and layer != "category":
        corpus.close(ending.key[0], ending.position)
        if isinstance(corpus, Statements):
            corpus.outdate(ending.key[0], ending.reason, ending.successor)


def add_statements(corpus: Statements, rows: Mapping[str, Sequence[Row]]) -> None:
    """Add rows of items, sources and links."""
    items = cast("Sequence[tuple[Any, ...]]", rows.get("items", ()))
    corpus.state(
        [
            Statement(identifier, kind, text, context, speaker, spoken_date(happened), happened, made, ended)
            for _, identifier, kind, text, context, speaker, happened, made, ended, *_ in items
        ]
    )
    for row in items:
        corpus.outdate(row[1], row[9], row[10])
    for row in sorted(cast("Sequence[tuple[Any, ...]]", rows.get("sources", ())), key=lambda row: (row[9], row[5])):
        _, item, resource, segment, unit, start, end, message_ids, time, made, _ = row
        corpus.source(item, Told(resource, segment, unit, start, end, tuple(message_ids or ()), time, made))
    links = cast("Sequence[tuple[Any, ...]]", rows.get("links", ()))
    for _, category, item, made, ended in sorted(links, key=lambda row: (row[3], row[1])):
        corpus.file(item, Filed(category, made, ended))


def add_segments(corpus: Segments, rows: Mapping[str, Iterable[Row]]) -> None:
    """Add rows of segments, and of the resources that they are of."""
    corpus.names |= {str(row[1]): str(row[2]) for row in rows.get("resources", ())}
    found = sorted(cast("Iterable[tuple[Any, ...]]", rows.get("segments", ())), key=lambda row: (row[11], row[3]))
    corpus.add([_segment(corpus.names, row) for row in found])


def tells_all(corpus: Versions, gain: Gain) -> bool:
    """Tell whether a commit only creates categories and writes files: what merges or reopens them is in the stores."""
    known = {str(row[1]) for row in gain.rows.get("categories", ())}
    return not any(ending.table == "categories" for ending in gain.endings) and not known & set(corpus.ids)


def _add_versions(corpus: Versions, rows: Mapping[str, Sequence[Row]]) -> None:
    """Add new categories, each with nothing in its file, and then the versions of files, each behind the one before."""
    for row in cast("Sequence[tuple[Any, ...]]", rows.get("categories", ())):
        _, identifier, name, description, origin, made, _ = row
        corpus.add([version(Heading(identifier, name, description, origin), "", (), made, None)])
    for row in cast("Sequence[tuple[Any, ...]]", rows.get("files", ())):
        _, identifier, _, text, citations, _, _, made, _ = row
        if (before := corpus.latest(identifier)) is not None:
            corpus.close(identifier, made)
            heading = Heading(identifier, str(before[0]), str(before[1]), str(before[4]))
            corpus.add([version(heading, text, tuple(citations), made, None)])


class Heading(NamedTuple):
    """What a category is called, what it is for, and who opened it."""

    id: str
    name: str
    description: str
    origin: str


def version(heading: Heading, text: str, citations: tuple[str, ...], made: int, ended: int | None) -> Fact:
    """Return a category with one version of its file."""
    words = content_words(f"{heading.name.replace('_', ' ')} {heading.description} {text}")
    return Fact(heading.id, (heading.name, heading.description, text, citations, heading.origin), made, ended, words)


def _segment(names: Mapping[str, str], row: tuple[Any, ...]) -> Fact:
    _, identifier, resource, _, unit, start, end, text, message_ids, _, time, made, ended = row
    shown = (resource, names[resource], unit, start, end, text, message_ids, time)
    return Fact(identifier, shown, made, ended, content_words(f"{spoken_date(time)} {text}"))
