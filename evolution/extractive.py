"""Extractive category files: the statements that stand for the rest, verbatim, each citing its item.

Statements are chosen by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) against the category's
centroid, then told in order of time. Nothing is reworded, so nothing can drift.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstream.projections.models import Category, Statement

# How many statements a file quotes: enough for a theme, short enough to be read at once.
_QUOTED = 24
_RELEVANCE = 0.7
# Statements without a time come last.
_UNDATED = datetime.max.replace(tzinfo=UTC)
# Beyond this many items only the latest are weighed: the cost of a file must not grow with the memory.
WEIGHED = 1_000


class Draft(NamedTuple):
    """A category file's text and the items that it cites."""

    text: str
    citations: tuple[str, ...]


class Line(NamedTuple):
    """A statement as a file quotes it, without its citation."""

    id: str
    text: str
    happened: datetime | None


def write_file(
    category: Category,
    items: Sequence[Statement],
    vectors: Mapping[str, NDArray[np.float32]],
    asked: Mapping[str, float] | None = None,
) -> Draft:
    """Return the Markdown file of a category: heading, description, and its central statements with citations.

    Where not all of them fit, those that were ``asked`` for before (id: how much) are quoted first.
    """
    chosen = sorted((item for item in items if (asked or {}).get(item.id, 0) > 0), key=lambda one: one.id)
    if len(items) <= _QUOTED or not chosen:
        return tell(category, choose(items, vectors))
    weights = asked or {}
    first = sorted(chosen, key=lambda one: -weights[one.id])[:_QUOTED]
    return tell(category, [*first, *choose(items, vectors, _QUOTED - len(first), besides=first)])


def tell(category: Category, chosen: Sequence[Statement]) -> Draft:
    """Return the file that quotes these statements, in the order of their times."""
    ordered = sorted(chosen, key=lambda one: (one.happened or _UNDATED, one.made, one.id))
    lines = [Line(item.id, line_of(item.text, item.speaker, item.happened), item.happened) for item in ordered]
    return page(category.name, category.description, lines, category.items)


def page(name: str, description: str, lines: Sequence[Line], held: int) -> Draft:
    """Return the Markdown of a file: heading, description, and its lines under their months.

    ``held`` is how many statements the category has.
    """
    text = [f"# {name}", "", description, ""]
    heading = None
    for line in lines:
        month = f"{line.happened:%B %Y}" if line.happened else "Undated"
        if month != heading:
            text += ([""] if heading else []) + [f"## {month}", ""]
            heading = month
        text.append(f"{line.text} [^{line.id}]")
    if len(lines) < held:
        text += ["", f"_{len(lines)} of {held} statements; the others are in the item layer._"]
    return Draft("\n".join(text) + "\n", tuple(line.id for line in lines))


def choose(
    items: Sequence[Statement],
    vectors: Mapping[str, NDArray[np.float32]],
    count: int = _QUOTED,
    besides: Sequence[Statement] = (),
) -> list[Statement]:
    """Return up to ``count`` items that are central and unlike each other; those without a vector come last.

    They are unlike ``besides``, too, which are quoted anyway and not returned again.
    """
    known = {one.id for one in besides}
    placed = [item for item in items if item.id in vectors]
    if len(placed) <= count + len(besides):
        rest = [item for item in items if item.id not in vectors]
        return [one for one in (*placed, *rest) if one.id not in known][:count]
    matrix = np.stack([vectors[item.id] for item in placed]).astype(np.float32)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    centroid = matrix.mean(axis=0)
    relevance = matrix @ (centroid / max(float(np.linalg.norm(centroid)), 1e-9))
    taken = [place for place, item in enumerate(placed) if item.id in known]
    closest = (matrix @ matrix[taken].T).max(axis=1) if taken else np.zeros(len(placed), dtype=np.float32)
    for _ in range(count):
        gain = _RELEVANCE * relevance - (1 - _RELEVANCE) * closest
        gain[taken] = -np.inf
        best = int(np.argmax(gain))
        taken.append(best)
        closest = np.maximum(closest, matrix @ matrix[best])
    return [placed[place] for place in taken if placed[place].id not in known]


def line_of(text: str, speaker: str | None, happened: datetime | None) -> str:
    """Return the line of a statement in a file, without its citation."""
    day = f"{happened:%Y-%m-%d} " if happened else ""
    said = f"{speaker}: " if speaker else ""
    return f"- {day}{said}{' '.join(text.split())}"
