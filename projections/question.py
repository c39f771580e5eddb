"""A question to memory, as recall takes it: whoever asks has found its vector and its moment."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .words import content_words


@dataclass(frozen=True)
class Question:
    """What is asked: the text (rewritten if need be), its vector, and how many hits each tier may return.

    ``as_of`` is the log position to answer for. ``exhaustive`` wants every tier, whatever the first ones found.
    """

    text: str
    space: str | None
    vector: NDArray[np.float32] | None
    as_of: int
    top_k: int = 10
    exhaustive: bool = False

    @cached_property
    def words(self) -> frozenset[str]:
        """The words that carry meaning."""
        return frozenset(content_words(self.text))
