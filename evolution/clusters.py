"""Topics: spherical k-means over the statements' vectors (Dhillon and Modha, 2001), seeded by their order alone."""

from collections.abc import Sequence

import numpy as np

from .evidence import Facts, Floats

_ROUNDS = 10
_SEED = 6


def clusters(rows: Sequence[int], facts: Facts, count: int, centres: Floats | None = None) -> list[tuple[int, ...]]:
    """Return the rows in at most ``count`` clusters; ``centres`` are where they begin, else k-means++ chooses."""
    ordered = sorted(rows)
    vectors = facts.vectors[ordered]
    centres = _spread(vectors, count) if centres is None else centres
    nearest = np.zeros(len(ordered), np.int64)
    for _ in range(_ROUNDS):
        before, nearest = nearest, (vectors @ centres.T).argmax(axis=1)
        if (before == nearest).all():
            break
        centres = _centres(vectors, nearest, centres)
    return [
        tuple(row for row, one in zip(ordered, nearest.tolist(), strict=True) if one == place)
        for place in sorted(set(nearest.tolist()))
    ]


def _centres(vectors: Floats, nearest: "np.ndarray[tuple[int], np.dtype[np.int64]]", centres: Floats) -> Floats:
    moved = centres.copy()
    for place in np.unique(nearest):
        mean = vectors[nearest == place].mean(axis=0)
        moved[place] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return moved


def _spread(vectors: Floats, count: int) -> Floats:
    """Choose starting centres far from each other (k-means++)."""
    chance = np.random.default_rng(_SEED)
    chosen = [int(chance.integers(len(vectors)))]
    closest = vectors @ vectors[chosen[0]]
    for _ in range(min(count, len(vectors)) - 1):
        weight = np.maximum(1 - closest, 0).astype(np.float64) ** 2
        total = float(weight.sum())
        chosen.append(int(chance.choice(len(vectors), p=weight / total)) if total > 0 else len(chosen))
        closest = np.maximum(closest, vectors @ vectors[chosen[-1]])
    return vectors[chosen].copy()
