"""What evolution knows: one user's live statements, and the recorded retrievals that told what they are used for.

Values only: they are read once from the projection, and nothing here asks it again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstream.projections.words import content_words, words

_SHORTEST_WORD = 4

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class Fact(NamedTuple):
    """A live statement: its file line without the citation, the words around it, and the session that it is from."""

    id: str
    line: str
    words: tuple[str, ...]
    session: str
    day: str
    tokens: int
    happened: datetime | None = None


@dataclass(frozen=True)
class Facts:
    """All live statements in the order in which they were said, with their unit vectors (zeros where none is known)."""

    rows: tuple[Fact, ...]
    vectors: Floats

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def tokens(self) -> Integers:
        """The tokens of each statement's line."""
        return np.asarray([one.tokens for one in self.rows], np.int64)

    @cached_property
    def total(self) -> int:
        """The tokens of the whole memory: every statement read once."""
        return max(1, int(self.tokens.sum()))

    @cached_property
    def spelled(self) -> tuple[Mapping[str, str], ...]:
        """The words of each statement that may name what it is about: as they are compared, and as they are written."""
        said = (one.line.partition(": ")[2] or one.line for one in self.rows)
        return tuple(
            {
                stem: word
                for word in words(text)
                for stem in content_words(word)
                if len(stem) >= _SHORTEST_WORD and stem.isalpha()
            }
            for text in said
        )

    @cached_property
    def telling(self) -> tuple[frozenset[str], ...]:
        """The same words as they are compared."""
        return tuple(frozenset(one) for one in self.spelled)

    @cached_property
    def frequencies(self) -> Counter[str]:
        """How many statements hold each of these words."""
        return Counter(word for one in self.telling for word in one)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each statement's id."""
        return {one.id: row for row, one in enumerate(self.rows)}


class Recorded(NamedTuple):
    """A retrieval that memory served: its question, what the item tier returned, and what of that was used.

    ``weight`` is 1 where feedback says what was used, and less where that is only likely (see ``projections.usage``).
    """

    id: str
    position: int
    words: frozenset[str]
    vector: Floats
    served: tuple[int, ...]
    used: tuple[int, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Evidence:
    """Statements and retrievals, oldest first; ``scope`` names whose they are, ``as_of`` when they were read."""

    scope: str
    as_of: int
    facts: Facts
    retrievals: tuple[Recorded, ...]

    def with_retrievals(self, retrievals: Sequence[Recorded]) -> "Evidence":
        """Return the same statements with other retrievals."""
        return Evidence(self.scope, self.as_of, self.facts, tuple(retrievals))

    def halves(self, share: float) -> tuple["Evidence", "Evidence"]:
        """Return the older part, which proposals are chosen on, and the newer one, which judges them."""
        cut = round(share * len(self.retrievals))
        return self.with_retrievals(self.retrievals[:cut]), self.with_retrievals(self.retrievals[cut:])
