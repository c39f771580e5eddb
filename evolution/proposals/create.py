"""Create: categories for what is repeatedly found only below the category level.

Statements whose category's file leaves most of them out are moved into categories of their own: one for each episode
(a stretch of one session), or one for each topic (a cluster of vectors) where a memory has no sessions.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from memstream.evolution.clusters import clusters
from memstream.evolution.episodes import episodes
from memstream.evolution.naming import named
from memstream.evolution.quoting import quoted
from memstream.evolution.structure import Shelf

from .proposal import Proposal, View

_SIZES = (8, 12, 18, 24)
_TOPIC_SIZES = (12, 24)
# What one step moves fits into one event: a memory that was never evolved is taken in parts, oldest first.
_MOST_MOVED = 5_000
_FEWEST_MISSES = 2
_MOST_SINGLES = 12


def create(view: View) -> Iterator[Proposal]:
    """Propose categories for all that is below the category level, and for each part that was missed repeatedly."""
    made = {one.id for one in view.structure.shelves.values() if one.origin == "evolution"}
    below = [row for row, homes in view.homes.items() if not made.intersection(homes)]
    below = sorted(below)[:_MOST_MOVED]
    if len(below) < _SIZES[0] or len(view.missed) < _FEWEST_MISSES:
        return
    for size in _SIZES:
        pieces = episodes(below, view.facts, size)
        yield _creation(view, pieces, f"episodes of about {size} statements")
        yield from _singles(view, pieces)
        count = round(len(below) / size)
        if count > 1 and size in _TOPIC_SIZES:
            yield _creation(view, clusters(below, view.facts, count), f"topics of about {size} statements")


def _singles(view: View, pieces: Sequence[tuple[int, ...]]) -> Iterator[Proposal]:
    piece_of = {row: place for place, piece in enumerate(pieces) for row in piece}
    missed = [view.evidence.retrievals[number].used for number in view.missed]
    counts = Counter(place for used in missed for place in {piece_of[row] for row in used if row in piece_of})
    order = sorted(range(len(pieces)), key=lambda place: -counts[place])
    for place in order[:_MOST_SINGLES]:
        if counts[place] >= _FEWEST_MISSES:
            yield _creation(view, [pieces[place]], "one episode", counts[place])


def _creation(view: View, pieces: Iterable[Sequence[int]], what: str, missed: int | None = None) -> Proposal:
    new = [view.opened(piece, *named(piece, view.facts), quoted(piece, view.facts, view.used)) for piece in pieces]
    moved = {row for shelf in new for row in shelf.items}
    rest, closed = left_behind(view, moved)
    counted = len(view.missed) if missed is None else missed
    reason = (
        f"{counted} of {len(view.evidence.retrievals)} recorded retrievals reached what was used only below the "
        f"category level: {len(moved)} statements move into {len(new)} new categories ({what})"
    )
    return Proposal("create", (*rest, *new), closed, reason)


def left_behind(view: View, moved: set[int]) -> tuple[tuple[Shelf, ...], tuple[str, ...]]:
    """Return the categories that some rows are taken out of, as they are without them, and those left empty."""
    rest: list[Shelf] = []
    closed: list[str] = []
    touched = dict.fromkeys(home for row in sorted(moved) for home in view.homes.get(row, ()))
    for identifier in touched:
        shelf = view.structure.shelves[identifier]
        kept = tuple(row for row in shelf.items if row not in moved)
        if kept:
            rest.append(
                Shelf(
                    shelf.id,
                    shelf.name,
                    shelf.description,
                    kept,
                    quoted(kept, view.facts, view.used),
                    shelf.origin,
                )
            )
        else:
            closed.append(identifier)
    return tuple(rest), tuple(closed)
