"""The order in which categories are read for a question: by the best of the statements that each one holds.

Evolution runs recorded retrievals again over structures that do not exist, without a model and without a write. A
score that follows from the statements alone is the same there and here, which one from a file's own vector is not.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .ranking import best

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

# Only so many statements of a memory speak for the categories that hold them.
CONSIDERED: Final = 200
# What a category's second statement adds: one alone may match by chance. Measured: docs/evolution.md.
SECOND: Final = 0.5
_VECTOR = 0.4


class Nearest(NamedTuple):
    """The rows of the statements that match a question best, best first, with their scores (0 to 1)."""

    rows: Integers
    scores: Floats

    def by_id(self, ids: Sequence[str]) -> dict[str, float]:
        """Return the scores by the rows' ids, over the best of all."""
        top = float(self.scores[0]) if len(self.scores) else 1.0
        return {ids[int(row)]: float(score) / top for row, score in zip(self.rows, self.scores, strict=True)}


def nearest(vector: Floats, words: Floats) -> Nearest:
    """Return the statements nearest to a question, by their cosines and BM25 scores, both scaled to 0..1 (see ``ranking``).

    One that matches in neither way is not returned.
    """
    scores = np.asarray(_VECTOR * vector + (1 - _VECTOR) * words, np.float32)
    rows = best(np.where(scores > 0, scores, -np.inf).astype(np.float32), CONSIDERED)
    return Nearest(rows, scores[rows])


def shelf_scores(near: Nearest, held_in: Callable[[int], Iterable[str]]) -> dict[str, float]:
    """Return the score of each category that holds one of the nearest statements: its best, and a part of the next.

    ``held_in`` names the categories of a row.
    """
    scores: dict[str, float] = {}
    counts: dict[str, int] = {}
    for row, score in zip(near.rows.tolist(), near.scores.tolist(), strict=True):
        for category in held_in(row):
            seen = counts.get(category, 0)
            counts[category] = seen + 1
            if seen < 2:  # noqa: PLR2004 - the best and the second
                scores[category] = scores.get(category, 0.0) + (score if seen == 0 else SECOND * score)
    return scores


def best_held(near: Nearest, held_in: Callable[[int], Iterable[str]]) -> dict[str, float]:
    """Return for each category the score of the best of the nearest statements that it holds, over the best of all."""
    scores: dict[str, float] = {}
    top = float(near.scores[0]) if len(near.scores) else 1.0
    for row, score in zip(near.rows.tolist(), near.scores.tolist(), strict=True):
        for category in held_in(row):
            scores.setdefault(category, score / top)
    return scores
