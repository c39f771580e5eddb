"""Episodes: stretches of statements that were said one after the other, in one session, about one thing."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from .evidence import Facts

# So many statements on either side of a cut are compared, as in TextTiling (Hearst, 1997).
_WINDOW = 5
_FEWEST = 3
# A cut far from the middle has to be that much clearer.
_CENTRED = 0.25


def episodes(rows: Sequence[int], facts: Facts, size: int) -> list[tuple[int, ...]]:
    """Cut statements into episodes of about ``size``; short sessions that follow each other stay together."""
    found: list[tuple[int, ...]] = []
    waiting: list[int] = []
    for session in _sessions(rows, facts):
        waiting += session
        if 2 * len(waiting) >= size:
            found += _pieces(waiting, facts, size)
            waiting = []
    return [*found, *_pieces(waiting, facts, size)] if waiting else found


def halves(rows: Sequence[int], facts: Facts) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Cut statements in two, in the order in which they were said, where their vectors change most."""
    ordered = sorted(rows)
    cut = _valley(ordered, facts)
    return tuple(ordered[:cut]), tuple(ordered[cut:])


def _sessions(rows: Sequence[int], facts: Facts) -> Iterator[list[int]]:
    for _, group in groupby(sorted(rows), key=lambda row: (facts.rows[row].session, facts.rows[row].day)):
        yield list(group)


def _pieces(rows: Sequence[int], facts: Facts, size: int) -> list[tuple[int, ...]]:
    if 2 * len(rows) <= 3 * size or len(rows) < 2 * _FEWEST:
        return [tuple(rows)]
    left, right = halves(rows, facts)
    return [*_pieces(left, facts, size), *_pieces(right, facts, size)]


def _valley(rows: Sequence[int], facts: Facts) -> int:
    vectors = facts.vectors[list(rows)]
    best, place = np.inf, len(rows) // 2
    for cut in range(_FEWEST, len(rows) - _FEWEST + 1):
        left = vectors[max(0, cut - _WINDOW) : cut].mean(axis=0)
        right = vectors[cut : cut + _WINDOW].mean(axis=0)
        length = float(np.linalg.norm(left) * np.linalg.norm(right))
        likeness = float(left @ right) / max(length, 1e-9) + _CENTRED * abs(cut / len(rows) - 0.5)
        if likeness < best:
            best, place = likeness, cut
    return place
