"""What feedback says about items and categories: those that were used rise, those that were wrong sink, within bounds.

A verdict speaks for every question a little, and for questions like the one it was given for a lot. Older verdicts
fade as newer ones come. What was used in a category that evolution made lifts the others that it holds, too. What was
missed is lifted by a weight of its own: the other signals have shown that they do not bring it. The lift of a hit lies in
-1..1 whatever is said about it, and its weight is small (see ``ranking``), so that no feedback buries a fact.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .changes import Changes
from .companions import Company, companies, companions
from .ledger import Ledger

Floats = NDArray[np.float32]
Homes = Callable[[str], Sequence[str]]
_MISSED: Final = "missed"
_SAYS: Final[Mapping[str, float]] = {"used": 1.0, "helpful": 1.0, "wrong": -1.0, _MISSED: 1.0}
# Two like questions: how fast they stop being alike, as a power of their cosine; for a category, which is wider, slower.
_ALIKE = 4
_ALIKE_CATEGORY = 2
# After so many later verdicts of the user, one counts half.
_HALF_LIFE = 500
# Verdicts beyond these are too old to count for anything.
_REMEMBERED = 2_000
_USERS = 5_000


class Lifts(NamedTuple):
    """What past verdicts say for one question, each from -1 to 1: of items, and of categories through what they hold.

    ``missed`` is of items that an asker missed, ``together`` of those used with what is near, both 0 to 1.
    """

    items: Mapping[str, float] = MappingProxyType({})
    categories: Mapping[str, float] = MappingProxyType({})
    missed: Mapping[str, float] = MappingProxyType({})
    together: Mapping[str, float] = MappingProxyType({})


class Experience(NamedTuple):
    """One user's verdicts, oldest first: whom each is about, what it says, its position and its question's vector.

    ``missed`` marks those on what was not served; ``beside`` is what was used or missed together.
    """

    hits: tuple[str, ...]
    says: Floats
    missed: NDArray[np.bool_]
    made: NDArray[np.int64]
    vectors: Floats
    beside: tuple[Company, ...] = ()

    def lifts(self, vector: Floats | None, as_of: int, homes: Homes, near: Mapping[str, float]) -> Lifts:
        """Return the lifts of all that was ever judged; ``homes`` names the categories that hold an item.

        A verdict on what belongs to no category is taken for one on a category itself. ``near`` tells how near items
        are to the question, 0 to 1.
        """
        count = int(np.searchsorted(self.made, as_of, side="right"))
        if not count:
            return Lifts()
        said = self.says[:count] * 0.5 ** (np.arange(count - 1, -1, -1) / _HALF_LIFE)
        alike = self._alike(vector)[:count]
        items, categories, missed = _Sums(), _Sums(), _Sums()
        for place in np.flatnonzero(said):
            hit, says, like = self.hits[place], float(said[place]), float(alike[place])
            if self.missed[place]:
                missed.add(hit, says, says * like**_ALIKE)
                continue
            items.add(hit, says, says * like**_ALIKE)
            for home in homes(hit) or (hit,):
                categories.add(home, says, says * like**_ALIKE_CATEGORY)
        return Lifts(items.lifts(), categories.lifts(), missed.lifts(), companions(self.beside, as_of, near))

    def _alike(self, vector: Floats | None) -> Floats:
        """Return how much each verdict's question is like this one, 0..1."""
        if vector is None or self.vectors.shape[1] != len(vector):
            return np.zeros(len(self.hits), np.float32)
        unit = np.asarray(vector, np.float32) / max(float(np.linalg.norm(vector)), 1e-12)
        return np.asarray(np.clip(self.vectors @ unit, 0, 1), np.float32)


class _Sums:
    """What verdicts say of each name, always and for questions like this one."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[float, float]] = {}

    def add(self, name: str, always: float, likely: float) -> None:
        before = self._held.get(name, (0.0, 0.0))
        self._held[name] = before[0] + always, before[1] + likely

    def lifts(self) -> dict[str, float]:
        return {
            name: (math.tanh(always / 2) + min(max(likely, -1.0), 1.0)) / 2
            for name, (always, likely) in self._held.items()
        }


_NOTHING = Experience(
    (), np.zeros(0, np.float32), np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
)


class Experiences:
    """The experience of each user that asks, read from the ledger when it has grown."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: OrderedDict[tuple[str, str | None], Experience] = OrderedDict()

    def commit(self, changes: Changes, *, behind: bool) -> None:
        """Hear what a commit brought."""
        if behind:
            self._held.clear()
        for row in changes.rows.get("verdicts", ()):
            for key in [key for key in self._held if key[0] == row[0]]:
                del self._held[key]

    async def of(self, scope: str, space: str | None) -> Experience:
        """Return what feedback has said so far in a user's memory."""
        key = (scope, space)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = await self._ledger.reading(_load, self._ledger, scope, space)
        self._held.move_to_end(key)
        while len(self._held) > _USERS:
            self._held.popitem(last=False)
        return held


def _load(ledger: Ledger, scope: str, space: str | None) -> Experience:
    rows = ledger.rows(
        "SELECT v.hit_id, v.verdict, v.made, q.vector, v.retrieval_id FROM verdicts v LEFT JOIN query_vectors q "
        "ON q.scope = v.scope AND q.retrieval_id = v.retrieval_id AND q.space = ? "
        "WHERE v.scope = ? ORDER BY v.made DESC, v.hit_id, v.verdict LIMIT ?",
        [space or "", scope, _REMEMBERED],
    )[::-1]
    if not rows:
        return _NOTHING
    return Experience(
        hits=tuple(row[0] for row in rows),
        says=np.asarray([_SAYS[row[1]] for row in rows], np.float32),
        missed=np.asarray([row[1] == _MISSED for row in rows], np.bool_),
        made=np.asarray([row[2] for row in rows], np.int64),
        vectors=_matrix([row[3] for row in rows]),
        beside=companies((row[4], row[0], row[2]) for row in rows if _SAYS[row[1]] > 0),
    )


def _matrix(blobs: Sequence[bytes | None]) -> Floats:
    """Return one row for each vector, of length 1; none where a question had no vector in this space."""
    known = [np.frombuffer(one, "<f2").astype(np.float32) if one else None for one in blobs]
    width = max((len(one) for one in known if one is not None), default=0)
    matrix = np.zeros((len(known), width), np.float32)
    for row, one in enumerate(known):
        if one is not None and len(one) == width:
            matrix[row] = one / max(float(np.linalg.norm(one)), 1e-12)
    return matrix
