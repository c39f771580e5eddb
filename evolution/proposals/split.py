"""Split: a category whose used questions fall into clusters becomes several."""

from collections.abc import Iterator, Sequence

import numpy as np

from memstream.evolution.clusters import clusters
from memstream.evolution.episodes import episodes, halves
from memstream.evolution.naming import named
from memstream.evolution.quoting import quoted
from memstream.evolution.structure import Shelf

from .proposal import Proposal, View

_FEWEST_ITEMS = 8
_FEWEST_QUESTIONS = 2
_MOST = 16
_EPISODE = 12


def split(view: View) -> Iterator[Proposal]:
    """Propose to split the categories that cost most: by time, by the questions they serve, into episodes."""
    asked = _questions(view)
    large = [shelf for shelf in view.structure.shelves.values() if len(shelf.items) >= _FEWEST_ITEMS]
    costly = sorted(large, key=lambda shelf: (-len(asked.get(shelf.id, ())) * len(shelf.items), shelf.id))[:_MOST]
    for shelf in costly:
        questions = asked.get(shelf.id, [])
        if len(questions) < _FEWEST_QUESTIONS:
            continue
        count = len(questions)
        yield _division(view, shelf, halves(shelf.items, view.facts), f"{count} questions; cut where the talk turns")
        starts = np.stack([view.evidence.retrievals[number].vector for number in questions])
        seeds = starts[np.linspace(0, count - 1, 2).round().astype(int)]
        yield _division(view, shelf, clusters(shelf.items, view.facts, 2, seeds), f"{count} questions in two clusters")
        if not shelf.complete:
            pieces = episodes(shelf.items, view.facts, _EPISODE)
            yield _division(view, shelf, pieces, f"{count} questions; its file leaves most out")


def _questions(view: View) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, one in enumerate(view.evidence.retrievals):
        for home in dict.fromkeys(home for row in one.used for home in view.homes.get(row, ())):
            found.setdefault(home, []).append(number)
    return found


def _division(view: View, shelf: Shelf, parts: Sequence[Sequence[int]], why: str) -> Proposal:
    new = [
        view.opened(part, *named(part, view.facts), quoted(part, view.facts, view.used)) for part in parts if len(part)
    ]
    reason = f"{shelf.name!r} holds {len(shelf.items)} statements for {why}: it becomes {len(new)} categories"
    return Proposal("split", tuple(new), (shelf.id,), reason)
