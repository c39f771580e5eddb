"""One layer of one user's memory in memory, as arrays: what recall scores in one go, at any moment of its past.

Rows are only added, and ended; each knows the positions of both, so one corpus answers for every moment.
"""

from collections.abc import Sequence
from sys import intern
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .terms import Terms, Vocabulary

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

LIVE: Final = np.iinfo(np.int64).max
# What a row's facts, with their sources and links, take beside the arrays.
_ROW_BYTES = 2_000
# So many rows: below, room that is not used costs more than copying.
_LARGE = 1_000


class Fact(NamedTuple):
    """A segment, or a category with one version of its file: an id, and what a hit shows of it."""

    id: str
    shown: tuple[object, ...]
    made: int
    ended: int | None
    words: list[str]


class Corpus:
    """Rows of one layer: ids, lifetimes, vectors and full text."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.position = 0
        self.ids: list[str] = []
        self.shown: list[tuple[object, ...]] = []
        self.text = Terms(vocabulary)
        self._made = np.zeros(0, np.int64)
        self._ended = np.zeros(0, np.int64)
        self._vectors = np.zeros((0, 0), np.float32)
        self._embedded = np.zeros(0, np.bool_)
        # Tuples, here and below: unlike lists and named ones the garbage collector leaves them alone, and a pass over those
        # of a hundred thousand statements stops every question for a quarter of a second.
        self._rows: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> int:
        """About how much memory this takes."""
        return self._vectors.nbytes + self.text.bytes + _ROW_BYTES * len(self)

    def visible(self, as_of: int) -> Flags:
        """Tell which rows live at a moment."""
        return (self._made <= as_of) & (self._ended > as_of)

    def add(self, facts: Sequence[Fact]) -> None:
        """Add rows, in the order in which they were made."""
        first = len(self)
        self.ids += [intern(one.id) for one in facts]
        self.shown += [one.shown for one in facts]
        self.text.extend(one.words for one in facts)
        self._made = np.concatenate([self._made, np.asarray([one.made for one in facts], np.int64)])
        ended = [LIVE if one.ended is None else one.ended for one in facts]
        self._ended = np.concatenate([self._ended, np.asarray(ended, np.int64)])
        self._embedded = np.concatenate([self._embedded, np.zeros(len(facts), np.bool_)])
        self._vectors = _grown(self._vectors, len(self))
        for row, fact in enumerate(facts, start=first):
            known = self._rows.get(fact.id, ())
            if known and self._embedded[known[-1]]:
                # Another wording of a statement keeps the vector of the first.
                self._vectors[row], self._embedded[row] = self._vectors[known[-1]], True
            self._rows[intern(fact.id)] = (*known, row)

    def end(self, identifier: str, made: int, ended: int) -> None:
        """End the row of an id that a position made."""
        for row in self._rows.get(identifier, ()):
            if self._made[row] == made:
                self._ended[row] = ended

    def close(self, identifier: str, position: int) -> None:
        """End the live row of an id that an earlier position made."""
        for row in self._rows.get(identifier, ()):
            if self._ended[row] == LIVE and self._made[row] < position:
                self._ended[row] = position

    def embed(self, ids: Sequence[str], positions: Sequence[int], vectors: Floats) -> None:
        """Set the vectors of all rows of some ids, oldest first; unknown ids are passed over."""
        pairs = [(row, place) for place, one in enumerate(ids) for row in self._meant(one, positions[place])]
        if not pairs:
            return
        if self._vectors.shape[1] != vectors.shape[1]:
            self._vectors = np.zeros((len(self._vectors), vectors.shape[1]), np.float32)
        rows, places = (np.asarray(one, np.int64) for one in zip(*pairs, strict=True))
        lengths = np.linalg.norm(vectors[places], axis=1, keepdims=True)
        self._vectors[rows] = vectors[places] / np.maximum(lengths, 1e-12)
        self._embedded[rows] = True

    def _meant(self, identifier: str, position: int) -> Sequence[int]:
        """Return the rows that a vector of a position is for: a statement's words have one vector, whenever made."""
        del position
        return self._rows.get(identifier, ())

    def near(self, vector: Floats | None, visible: Flags) -> tuple[Floats, Flags]:
        """Return each row's cosine similarity to a vector, and which rows have one."""
        counted = visible & self._embedded
        if vector is None or self._vectors.shape[1] != len(vector):
            return np.zeros(len(self), np.float32), np.zeros(len(self), np.bool_)
        unit = np.asarray(vector, np.float32) / max(float(np.linalg.norm(vector)), 1e-12)
        similarity: Floats = np.asarray(self._vectors[: len(self)] @ unit, np.float32)
        return similarity, counted

    def rows_of(self, ids: Sequence[str], visible: Flags) -> list[int]:
        """Return the visible rows of some ids, in the order of the ids."""
        return [row for one in ids for row in self._rows.get(one, ()) if visible[row]]


class Segments(Corpus):
    """Segments, with the names of the resources that they are of."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(vocabulary)
        self.names: dict[str, str] = {}


class Versions(Corpus):
    """Categories, a row for each version of a file: a vector is of the version that lived when it was made."""

    def latest(self, identifier: str) -> tuple[object, ...] | None:
        """Return what a hit shows of a category's last version; None when nobody knows it."""
        known = self._rows.get(identifier)
        return self.shown[known[-1]] if known else None

    def evolved(self, identifier: str) -> bool:
        """Tell whether evolution made a category."""
        shown = self.latest(identifier)
        return shown is not None and shown[4] == "evolution"

    def embed(self, ids: Sequence[str], positions: Sequence[int], vectors: Floats) -> None:
        """Set vectors one by one, oldest first: each replaces the one before in what still lived then."""
        for place in range(len(positions)):
            super().embed(ids[place : place + 1], positions[place : place + 1], vectors[place : place + 1])

    def _meant(self, identifier: str, position: int) -> Sequence[int]:
        rows = self._rows.get(identifier, ())
        return [row for row in rows if self._ended[row] > position or not self._embedded[row]]


def _grown(vectors: Floats, rows: int) -> Floats:
    """Return a matrix with room for so many rows; a large one doubles, so that adding one by one stays cheap."""
    if len(vectors) >= rows:
        return vectors
    room = max(rows, 2 * len(vectors)) if len(vectors) > _LARGE else rows
    grown = np.zeros((room, vectors.shape[1]), np.float32)
    grown[: len(vectors)] = vectors
    return grown
