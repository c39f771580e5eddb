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


def write_file(category: Category, items: Sequence[Statement], vectors: Mapping[str, NDArray[np.float32]]) -> Draft:
    """Return the Markdown file of a category: heading, description, and its central statements with citations."""
    chosen = choose(items, vectors)
    lines = [f"# {category.name}", "", category.description, ""]
    heading = None
    for item in sorted(chosen, key=lambda one: (one.happened or _UNDATED, one.made, one.id)):
        month = f"{item.happened:%B %Y}" if item.happened else "Undated"
        if month != heading:
            lines += ([""] if heading else []) + [f"## {month}", ""]
            heading = month
        lines.append(_line(item))
    if len(chosen) < category.items:
        lines += ["", f"_{len(chosen)} of {category.items} statements; the others are in the item layer._"]
    return Draft("\n".join(lines) + "\n", tuple(item.id for item in chosen))


def choose(
    items: Sequence[Statement], vectors: Mapping[str, NDArray[np.float32]], count: int = _QUOTED
) -> list[Statement]:
    """Return up to ``count`` items that are central and unlike each other; those without a vector come last."""
    placed = [item for item in items if item.id in vectors]
    if len(placed) <= count:
        rest = [item for item in items if item.id not in vectors]
        return [*placed, *rest][:count]
    matrix = np.stack([vectors[item.id] for item in placed]).astype(np.float32)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    centroid = matrix.mean(axis=0)
    relevance = matrix @ (centroid / max(float(np.linalg.norm(centroid)), 1e-9))
    closest = np.zeros(len(placed), dtype=np.float32)
    taken: list[int] = []
    for _ in range(count):
        gain = _RELEVANCE * relevance - (1 - _RELEVANCE) * closest
        gain[taken] = -np.inf
        best = int(np.argmax(gain))
        taken.append(best)
        closest = np.maximum(closest, matrix @ matrix[best])
    return [placed[place] for place in taken]


def _line(item: Statement) -> str:
    day = f"{item.happened:%Y-%m-%d} " if item.happened else ""
    speaker = f"{item.speaker}: " if item.speaker else ""
    statement = " ".join(item.text.split())
    return f"- {day}{speaker}{statement} [^{item.id}]"
