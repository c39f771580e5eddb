"""Fusion: one score from the signals of a statement, and an order that does not say the same thing twice.

Each signal is normalised per question to 0..1; the score is their weighted sum. Min-max and a weighted sum follow
Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (TOIS 2023). The weights are the only
place where measurements went in: docs/recall.md says which, and what did not help.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Weight(NamedTuple):
    """What a signal counts where people write in short turns, and where in long messages."""

    short: float
    long: float

    def at(self, shortness: float) -> float:
        """Return the weight in a memory of some ``shortness`` (1: short turns, 0: long messages)."""
        return shortness * self.short + (1 - shortness) * self.long


# In short turns the words around count; long messages stand for themselves.
WEIGHTS: Final[Mapping[str, Weight]] = {
    "vector": Weight(0.29, 0.40),
    "text": Weight(0.025, 0.20),
    "context": Weight(0.125, 0.04),
    "speaker": Weight(0.20, 0.20),
    "time": Weight(0.09, 0.07),
    "date": Weight(0.35, 0.05),
    "message": Weight(0.07, 0.00),
    "before": Weight(0.05, 0.00),
    "after": Weight(0.20, 0.20),
    "session": Weight(0.27, 0.03),
    "statement": Weight(0.12, 0.00),
    "standing": Weight(0.00, 0.20),
    # Those four move only what the others have brought near: see ``recall``.
    "category": Weight(0.15, 0.00),
    "feedback": Weight(0.055, 0.03),
    "missed": Weight(0.15, 0.00),
    "together": Weight(0.20, 0.00),
}
# Words in a message at which a memory is halfway between short turns and long messages.
_HALFWAY_WORDS = 80.0
# Taken off a statement for each one of the same message that is ranked above it.
_SAME_MESSAGE = 0.5
# So many more candidates than asked for may be moved up.
CONSIDERED = 60


def shortness(words_per_message: float) -> float:
    """Return how much a memory is one of short turns, from 1 down to 0."""
    return 1 / (1 + (words_per_message / _HALFWAY_WORDS) ** 2)


def min_max(values: Floats, counted: NDArray[np.bool_]) -> Floats:
    """Scale the values that count to 0..1; the others are 0, and equal ones 1."""
    scaled = np.zeros(len(values), np.float32)
    held = values[counted]
    if len(held):
        low, high = float(held.min()), float(held.max())
        scaled[counted] = (held - low) / (high - low) if high - low > 1e-9 else 1.0  # noqa: PLR2004 - floating-point noise
    return scaled


def over_max(values: Floats) -> Floats:
    """Scale values that are 0 for "not at all" by the largest."""
    top = float(values.max(initial=0.0))
    return values / np.float32(top) if top > 0 else values


def fuse(signals: Mapping[str, Floats], short: float) -> Floats:
    """Return the weighted sum of the signals; those that are not given count for nothing."""
    weighted = (np.float32(WEIGHTS[name].at(short)) * values for name, values in signals.items())
    return np.asarray(sum(weighted), np.float32)


def pick(scores: Floats, messages: NDArray[np.int64], count: int) -> list[int]:
    """Return the rows to show, best first: the score, less what those above already say.

    ``messages`` numbers where each row comes from. Equal scores keep their order, so that a replay ranks alike.
    """
    order = best(scores, count + CONSIDERED)
    left = scores[order].astype(np.float64)
    picked: list[int] = []
    for _ in range(min(count, len(order))):
        place = int(left.argmax())
        row = int(order[place])
        picked.append(row)
        left[messages[order] == messages[row]] -= _SAME_MESSAGE
        left[place] = -np.inf
    return picked


def newer_first(rows: Sequence[int], outdated: Mapping[int, int]) -> list[int]:
    """Put each statement that replaced another one right before it; it comes in with it where it was not found."""
    ordered: list[int] = []
    for row in rows:
        heir = outdated.get(row)
        chain = [row]
        while heir is not None and heir not in chain:
            chain.append(heir)
            heir = outdated.get(heir)
        ordered += [one for one in reversed(chain) if one not in ordered]
    return ordered


def best(scores: Floats, count: int) -> NDArray[np.int64]:
    """Return the rows of the largest scores, the first rows first among equals; what scores -inf is left out."""
    if len(scores) > 4 * count:
        edge = np.partition(scores, len(scores) - count)[len(scores) - count]
        candidates = np.flatnonzero(scores >= edge)
    else:
        candidates = np.arange(len(scores))
    candidates = candidates[np.isfinite(scores[candidates])]
    return candidates[np.argsort(-scores[candidates], kind="stable")][:count]
