"""Merge: categories that are used together, and say much the same, become one."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np

from memstream.evolution.naming import named
from memstream.evolution.quoting import quoted
from memstream.evolution.structure import Shelf

from .proposal import Proposal, View

_MOST = 16
# A neighbour in time counts as much as this many uses together.
_ADJACENT = 0.5
_LARGEST = 24


def merge(view: View) -> Iterator[Proposal]:
    """Propose the pairs that are used together most, or follow each other and are small."""
    together = _together(view)
    shelves = view.structure.shelves
    ordered = sorted((one for one in shelves.values() if one.items), key=lambda one: one.items[0])
    for left, right in pairwise(ordered):
        if len(left.items) + len(right.items) <= _LARGEST:
            together[_pair(left.id, right.id)] += _ADJACENT
    ranked = sorted(together, key=lambda pair: (-together[pair] * (1 + _overlap(view, pair)), pair))
    for first, second in ranked[:_MOST]:
        yield _union(view, shelves[first], shelves[second], together[first, second])


def _together(view: View) -> defaultdict[tuple[str, str], float]:
    counts: defaultdict[tuple[str, str], float] = defaultdict(float)
    for one in view.evidence.retrievals:
        homes = sorted({view.homes[row][0] for row in one.used if row in view.homes})
        for first, second in combinations(homes, 2):
            counts[_pair(first, second)] += 1
    return counts


def _pair(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first < second else (second, first)


def _overlap(view: View, pair: tuple[str, str]) -> float:
    left, right = (
        view.facts.vectors[list(view.structure.shelves[one].items)].mean(axis=0).astype(np.float64) for one in pair
    )
    return float(left @ right) / max(float(np.linalg.norm(left) * np.linalg.norm(right)), 1e-9)


def _union(view: View, first: Shelf, second: Shelf, uses: float) -> Proposal:
    rows = tuple(sorted({*first.items, *second.items}))
    new = view.opened(rows, *named(rows, view.facts), quoted(rows, view.facts, view.used))
    overlap = _overlap(view, (first.id, second.id))
    reason = (
        f"{first.name!r} and {second.name!r} were used together (weight {uses:g}) and are alike by {overlap:.2f}: "
        f"one category of {len(rows)} statements"
    )
    return Proposal("merge", (new,), (first.id, second.id), reason)
