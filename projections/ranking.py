"""Fusion: one score from the signals of a candidate. Pure functions over plain numbers.

The weights and what taught them are in one place here. Min-max normalisation per query and a weighted sum follow
Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (TOIS 2023), who show that it beats
reciprocal rank fusion; tests/benchmarks/recall.py measures what comes of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True)
class Weights:
    """How much each signal counts; the normalised signals are in 0..1."""

    vector: float = 0.55
    text: float = 0.45
    # A question that names a person is mostly about what that person said.
    speaker: float = 0.12
    # Share of the better neighbour's score: an answer lends to the question before it, and the other way round.
    neighbour: float = 0.15


WEIGHTS: Final = Weights()


class Signals(NamedTuple):
    """The normalised signals of one candidate."""

    vector: float = 0.0
    text: float = 0.0
    speaker: float = 0.0
    neighbour: float = 0.0

    def score(self, weights: Weights = WEIGHTS) -> float:
        """Return the weighted sum."""
        return (
            weights.vector * self.vector
            + weights.text * self.text
            + weights.speaker * self.speaker
            + weights.neighbour * self.neighbour
        )

    def present(self) -> dict[str, float]:
        """Return the signals that contributed."""
        return {name: round(value, 4) for name, value in self._asdict().items() if value > 0}


def normalise(scores: Mapping[str, float]) -> dict[str, float]:
    """Scale scores to 0..1 by their minimum and maximum; equal scores are all 1."""
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    if high - low < 1e-9:  # noqa: PLR2004 - floating-point noise
        return dict.fromkeys(scores, 1.0)
    return {key: (score - low) / (high - low) for key, score in scores.items()}


def fuse(vector: Mapping[str, float], text: Mapping[str, float]) -> dict[str, Signals]:
    """Normalise and combine the two searches; a candidate that one did not find has 0 there."""
    near, worded = normalise(vector), normalise(text)
    # Full text returns matches only: its lowest match is still worth more than no match.
    worded = {key: 0.1 + 0.9 * score for key, score in worded.items()}
    return {
        key: Signals(vector=near.get(key, 0.0), text=worded.get(key, 0.0)) for key in dict.fromkeys([*near, *worded])
    }


def ranked(signals: Mapping[str, Signals]) -> list[tuple[str, float]]:
    """Return ids and scores, best first; equal scores in order of id, so that a replay ranks alike."""
    scored = [(key, one.score()) for key, one in signals.items()]
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))
