"""Which statements a category's file quotes: all of a short one, else what was used before and what is central."""

from collections.abc import Mapping, Sequence

import numpy as np

from .evidence import Facts

# As in ``extractive``: enough for a theme, short enough to be read at once.
QUOTED = 24
_RELEVANCE = 0.7


def quoted(rows: Sequence[int], facts: Facts, used: Mapping[int, float] | None = None) -> frozenset[int]:
    """Return the rows that a file quotes; those ``used`` most come first, then those central and unlike each other."""
    if len(rows) <= QUOTED:
        return frozenset(rows)
    weights = used or {}
    asked = sorted((row for row in rows if weights.get(row, 0) > 0), key=lambda row: (-weights[row], row))
    taken = asked[:QUOTED]
    return frozenset([*taken, *_central(rows, facts, taken, QUOTED - len(taken))])


def _central(rows: Sequence[int], facts: Facts, taken: Sequence[int], count: int) -> list[int]:
    """Choose by maximal marginal relevance against the centroid."""
    matrix = facts.vectors[list(rows)]
    centroid = matrix.mean(axis=0)
    relevance = matrix @ (centroid / max(float(np.linalg.norm(centroid)), 1e-9))
    known = set(taken)
    chosen = [place for place, row in enumerate(rows) if row in known]
    closest = (matrix @ matrix[chosen].T).max(axis=1) if chosen else np.zeros(len(rows), np.float32)
    found: list[int] = []
    for _ in range(count):
        gain = _RELEVANCE * relevance - (1 - _RELEVANCE) * closest
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        found.append(rows[best])
        closest = np.maximum(closest, matrix @ matrix[best])
    return found
