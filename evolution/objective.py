"""The objective: the reading cost to the evidence of a recorded retrieval.

A reader looks at the directory, opens one category after the other in the order in which recall ranks them, reads
the file of each, and its items only where the file leaves something out, until everything that was used is reached:

    cost = (D + Σ_{c before the last} (F_c + I_c) + F_last [+ I_last]) / M

    D      tokens of the directory: name and description of every category
    F_c    tokens of the category's file, its citations left out
    I_c    tokens of its items; 0 where the file quotes all of them. Of the last category only read where its file does
           not quote what was still missing
    M      tokens of all live statements, each read once

The same for a statement that nobody has asked for yet, with its own category opened first, is the *prior cost*: D +
F_c [+ I_c], averaged over all statements. What is recorded is a sample, and a structure that serves it by heaping up all
the rest would look good without this.

Lower is better. One category for everything costs about 1 (its items are read whole), one for each statement about 1,
too (the directory says as much as the memory): what lies between is worth looking for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .columns import Column, Doubles, column_of
from .rerun import Flags, Integers, Rerun
from .structure import Rows, Structure

# Of equal scores the older category is read first.
_OLDER_FIRST = 1e-7
# So many hits are read at a glance; of all that are returned none gets lost by what a file quotes.
_GLANCE = 5
# Recall looks for a quoted answer in the files of so many categories.
_QUOTING = 2


class Readings(NamedTuple):
    """For each retrieval: cost, whether the first file alone sufficed, whether files did, and ranks.

    ``first`` and ``last`` are the ranks of the first and of the last category that had to be read.
    """

    cost: Doubles
    first_file: Flags
    files: Flags
    first: Integers
    last: Integers


class _Way(NamedTuple):
    """The way of each retrieval to its evidence, the costs apart.

    ``before`` tells for each category (first axis) whether it is opened before the ``last`` one, ``quoted`` whether
    that one's file suffices; ``top`` is the score of the first category that holds evidence.
    """

    before: Flags
    last: Integers
    quoted: Flags
    top: Doubles


@dataclass(frozen=True)
class Board:
    """A structure scored against recorded retrievals; another structure reuses what it has in common with this one."""

    run: Rerun
    columns: Mapping[str, Column]

    @classmethod
    def of(cls, structure: Structure, run: Rerun, known: Mapping[str, Column] | None = None) -> "Board":
        """Score a structure."""
        known = known or {}
        columns = {
            shelf.id: column
            if (column := known.get(shelf.id)) is not None and column.shelf is shelf
            else column_of(shelf, run)
            for shelf in structure.shelves.values()
        }
        return cls(run, columns)

    def with_structure(self, structure: Structure) -> "Board":
        """Score another structure, of which most is the same."""
        return Board.of(structure, self.run, self.columns)

    @cached_property
    def directory(self) -> int:
        """The tokens of the directory."""
        return sum(column.listed for column in self.columns.values())

    @cached_property
    def scores(self) -> Doubles:
        """The score of each category (first axis: what is stacked lies in one piece) for each retrieval."""
        scores = np.stack([column.scores for column in self.columns.values()])
        scores -= _later(len(scores))
        return scores

    @cached_property
    def recall(self) -> Doubles:
        """The share of used statements among the first hits of each retrieval."""
        return _recall(self, self.scores) if len(self.run) else np.zeros(0)

    @cached_property
    def readings(self) -> Readings:
        """What each retrieval costs to read to its evidence."""
        if not len(self.run):
            nothing = np.zeros(0)
            flags, ranks = nothing.astype(np.bool_), nothing.astype(np.int64)
            return Readings(nothing, flags, flags, ranks, ranks)
        return _readings(self)

    @cached_property
    def way(self) -> "_Way":
        """The way of each retrieval to its evidence."""
        return _way(self)

    @cached_property
    def costs(self) -> Doubles:
        """The reading cost of each retrieval."""
        return _costs(self) if len(self.run) else np.zeros(0)

    @cached_property
    def prior(self) -> float:
        """The mean cost of reaching any statement, if its own category is opened first."""
        facts = self.run.evidence.facts
        reach = np.full(len(facts), np.inf)
        for column in self.columns.values():
            for rows, tokens in ((column.shelf.items, column.full), (tuple(column.shelf.quoted), column.file)):
                held = np.asarray(rows, np.int64)
                reach[held] = np.minimum(reach[held], tokens)
        reached = reach[np.isfinite(reach)]
        return float((self.directory + reached.mean()) / facts.total) if len(reached) else 0.0

    @property
    def cost(self) -> float:
        """The mean reading cost; 0 where nothing is recorded."""
        return float((self.run.weights * self.costs).mean()) if len(self.run) else 0.0


def _way(board: Board) -> _Way:
    run, columns = board.run, list(board.columns.values())
    reached_at = np.stack([column.reached for column in columns])
    reached_at -= _later(len(columns))
    home = reached_at.argmax(axis=0)
    reached = reached_at.max(axis=0)
    edge = np.minimum.reduceat(reached, run.starts)
    last = home[_lowest(reached, edge, run)]
    # Of the last category only what was not reached before it has to stand in its file.
    quotes = np.stack([column.quotes for column in columns])[home, np.arange(len(home))]
    missing = home == last[run.used_of]
    quoted = np.minimum.reduceat(np.where(missing, quotes, True), run.starts)
    return _Way(board.scores > edge, last, quoted, np.maximum.reduceat(reached, run.starts))


def _costs(board: Board) -> Doubles:
    way, columns = board.way, board.columns.values()
    file = np.asarray([column.file for column in columns], np.float64)
    full = np.asarray([column.full for column in columns], np.float64)
    ends = np.where(way.quoted, file[way.last], full[way.last])
    cost: Doubles = (board.directory + full @ way.before + ends) / board.run.evidence.facts.total
    return cost


def _readings(board: Board) -> Readings:
    way = board.way
    partial = np.asarray([not column.shelf.complete for column in board.columns.values()])
    rank = way.before.sum(axis=0) + 1
    return Readings(
        board.costs,
        way.quoted & (rank == 1),
        way.quoted & ~(way.before & partial[:, None]).any(axis=0),
        (board.scores > way.top).sum(axis=0) + 1,
        rank,
    )


def _later(count: int) -> Doubles:
    """Return what is taken from the scores of categories, in their order: of equal ones the older goes first."""
    return _OLDER_FIRST * np.arange(count, dtype=np.float64)[:, None]


def _lowest(reached: Doubles, edge: Doubles, run: Rerun) -> Integers:
    """Return for each retrieval the place of the pair that is reached last."""
    places = np.where(reached == edge[run.used_of], np.arange(len(reached)), len(reached))
    return np.minimum.reduceat(places, run.starts).astype(np.int64)


def _recall(board: Board, scores: Doubles) -> Doubles:
    """Return the share of used rows among the first hits: what a file quotes as the answer goes before the others."""
    run = board.run
    order = np.argpartition(-scores, min(_QUOTING, len(scores)) - 1, axis=0)[:_QUOTING]
    answers = np.stack([column.answers for column in board.columns.values()])
    quoted = answers[order[:, run.answers_of], np.arange(len(run.answers))].any(axis=0)
    first: dict[int, set[int]] = {}
    for number, row in zip(run.answers_of[quoted].tolist(), run.answers[quoted].tolist(), strict=True):
        first.setdefault(number, set()).add(row)
    return np.asarray(
        [_glanced(one.served, one.used, first.get(number, set())) for number, one in enumerate(run.evidence.retrievals)]
    )


def _glanced(served: Rows, used: Rows, first: set[int]) -> float:
    shown = [*(row for row in served if row in first), *(row for row in served if row not in first)][:_GLANCE]
    return sum(row in shown for row in used) / len(used)
