"""Refile: a statement goes into the category where it is looked for, instead of its own or beside it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from memstream.evolution.quoting import quoted
from memstream.evolution.structure import Shelf

from .create import left_behind
from .proposal import Proposal, View

_FEWEST = 2
_MOST = 16


def refile(view: View) -> Iterator[Proposal]:
    """Propose to move, or to file a second time, what was repeatedly looked for in one other category."""
    wanted = _looked_for(view)
    ranked = sorted((pair for pair in wanted if wanted[pair] >= _FEWEST), key=lambda pair: (-wanted[pair], pair))
    for row, target in ranked[:_MOST]:
        yield _refiling(view, row, view.structure.shelves[target], wanted[row, target], moved=True)
        yield _refiling(view, row, view.structure.shelves[target], wanted[row, target], moved=False)


def _looked_for(view: View) -> Counter[tuple[int, str]]:
    """Count how often each used row was not in the category that its question opened first."""
    ids: Sequence[str] = list(view.board.columns)
    scores = np.stack([column.scores for column in view.board.columns.values()], axis=1)
    first = scores.argmax(axis=1)
    return Counter(
        (row, ids[first[number]])
        for number, one in enumerate(view.evidence.retrievals)
        for row in one.used
        if ids[first[number]] not in view.homes.get(row, ())
    )


def _refiling(view: View, row: int, target: Shelf, times: int, *, moved: bool) -> Proposal:
    rows = tuple(sorted({*target.items, row}))
    grown = replace(target, items=rows, quoted=quoted(rows, view.facts, view.used))
    rest, closed = left_behind(view, {row}) if moved else ((), ())
    way = "moves there" if moved else "is filed there, too"
    # By its id: a reason must not keep words that may have to be erased.
    reason = f"{times} questions looked for item {view.facts.rows[row].id} in {target.name!r}: it {way}"
    return Proposal("refile", (*rest, grown), closed, reason)
