"""The trial: a proposal against recorded retrievals that it was not chosen on.

The structure that a proposal would make is scored on the newer part of the retrievals; it is accepted only if the
paired improvement of the reading cost is positive beyond chance (a percentile bootstrap over the retrievals, Efron and
Tibshirani 1993), if it outweighs what statements that nobody has asked for yet would cost more (see ``objective``), and
if recall of what was used does not fall. No model is called and nothing is written.
"""

from typing import NamedTuple

import numpy as np

from .columns import Doubles
from .objective import Board

_SEED = 20_267
_DRAWS = 1_000
_AT_ONCE = 200


class Verdict(NamedTuple):
    """What a trial measured: mean reading costs, the interval of the improvement, recall of what was used.

    ``prior`` is by how much the prior cost rises.
    """

    retrievals: int
    before: float
    after: float
    low: float
    high: float
    recall_before: float
    recall_after: float
    prior: float
    accepted: bool
    reason: str


class Bar(NamedTuple):
    """What a proposal has to show: a share of intervals, an improvement, a bound on recall, enough retrievals."""

    confidence: float = 0.95
    improvement: float = 0.0
    recall_loss: float = 0.0
    fewest: int = 8


def judge(before: Board, after: Board, bar: Bar) -> Verdict:
    """Compare two structures on the same retrievals, pair by pair."""
    weights = before.run.weights
    costs = weights * before.costs, weights * after.costs
    recalls = weights * before.recall, weights * after.recall
    low, high = interval(costs[0] - costs[1], bar.confidence)
    means = [float(one.mean()) if len(one) else 0.0 for one in (*costs, *recalls)]
    dearer = after.prior - before.prior
    accepted, reason = _ruling(len(costs[0]), low, means[2] - means[3], dearer, bar)
    return Verdict(len(costs[0]), means[0], means[1], low, high, means[2], means[3], dearer, accepted, reason)


def interval(differences: Doubles, confidence: float) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of paired differences; the same ones give the same interval."""
    if not len(differences):
        return 0.0, 0.0
    chance, size = np.random.default_rng(_SEED), (_AT_ONCE, len(differences))
    # A part at a time: all draws at once would take memory by the gigabyte.
    means = [differences[chance.integers(0, len(differences), size)].mean(axis=1) for _ in range(_DRAWS // _AT_ONCE)]
    outside = 100 * (1 - confidence) / 2
    low, high = np.percentile(np.concatenate(means), (outside, 100 - outside))
    return float(low), float(high)


def _ruling(retrievals: int, low: float, lost: float, dearer: float, bar: Bar) -> tuple[bool, str]:
    if retrievals < bar.fewest:
        return False, f"only {retrievals} newer retrievals to judge it on, {bar.fewest} are needed"
    if lost > bar.recall_loss + 1e-12:
        return False, f"recall of what was used would fall by {lost:.3f}, over {bar.recall_loss:g}"
    if low <= bar.improvement:
        return False, f"the improvement is not beyond chance: its interval reaches down to {low:.4f}"
    if low <= dearer:
        return (
            False,
            f"what nobody asked for yet would cost {dearer:.4f} more, and the improvement may be only {low:.4f}",
        )
    return True, f"the newer retrievals cost less beyond chance: at least {low:.4f} less"
