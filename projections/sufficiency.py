"""Whether what was found suffices, judged without reading it.

The confidence is the chance that the first ten hits hold all of the answer's evidence: a logistic regression on how far
the scores fall from the first to the eleventh, and on how much of the question the best hits cover. Its three numbers
were fitted on questions whose evidence is known, and hold for both embedders (docs/recall.md).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .ranking import best

Floats = NDArray[np.float32]

_DROP, _COVERED, _OFFSET = 11.5, 1.9, -3.2
# From this confidence on, the items suffice; below the other one, no segment makes up for them.
ENOUGH: Final = 0.6
DOUBTFUL: Final = 0.5
_COMPARED = 10


def confidence(scores: Floats, covered: float) -> float | None:
    """Return the confidence (0 to 1) for the scores of all that could be returned, -inf for what could not.

    ``covered`` is the largest share of the question's words in one of the best hits, weighted by their rarity. With ten
    candidates or fewer all are returned, and their scores tell nothing: None.
    """
    top = best(scores, _COMPARED + 1)
    if len(top) <= _COMPARED or scores[top[0]] <= 0:
        return None
    drop = 1 - float(scores[top[-1]]) / float(scores[top[0]])
    return 1 / (1 + math.exp(-(_DROP * drop + _COVERED * covered + _OFFSET)))
