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
from numpy.typing import NDArray

from memstream.projections.words import count_tokens

from .evidence import Facts
from .rerun import Flags, Integers, Rerun
from .structure import Rows, Shelf, Structure

Doubles = NDArray[np.float64]
# Of equal scores the older category is read first.
_OLDER_FIRST = 1e-7
# So many hits are read at a glance; of all that are returned none gets lost by what a file quotes.
_GLANCE = 5
# Recall looks for a quoted answer in the files of so many categories.
_QUOTING = 2
_MONTH_TOKENS = 5


def directory_tokens(shelf: Shelf) -> int:
    """Return the tokens of a category's line in the directory."""
    return count_tokens(f"- {shelf.name}: {shelf.description}\n")


def file_tokens(shelf: Shelf, facts: Facts) -> int:
    """Return the tokens of a category's file: heading, description, months, quoted lines."""
    if not shelf.quoted:
        return 0
    months = {facts.rows[row].day[:7] for row in shelf.quoted}
    head = count_tokens(f"# {shelf.name}\n\n{shelf.description}\n\n")
    return head + _MONTH_TOKENS * len(months) + int(facts.tokens[list(shelf.quoted)].sum())


class Column(NamedTuple):
    """One category as the objective sees it: a score for each retrieval, tokens, and which used rows it holds."""

    shelf: Shelf
    scores: Doubles
    listed: int
    file: int
    full: int
    holds: Flags
    quotes: Flags
    answers: Flags


class Readings(NamedTuple):
    """For each retrieval: cost, whether the first file alone sufficed, whether files did, and ranks.

    ``first`` and ``last`` are the ranks of the first and of the last category that had to be read.
    """

    cost: Doubles
    first_file: Flags
    files: Flags
    first: Integers
    last: Integers


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
            else _column(shelf, run)
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
        """The score of each category (columns) for each retrieval."""
        columns = [column.scores for column in self.columns.values()]
        return np.stack(columns, axis=1) - _OLDER_FIRST * np.arange(len(columns))

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
        return float((self.run.weights * self.readings.cost).mean()) if len(self.run) else 0.0


def _column(shelf: Shelf, run: Rerun) -> Column:
    facts = run.evidence.facts
    held, quoted = np.zeros(len(facts), np.bool_), np.zeros(len(facts), np.bool_)
    held[list(shelf.items)] = True
    quoted[[row for row in shelf.quoted if held[row]]] = True
    file = file_tokens(shelf, facts)
    rest = 0 if shelf.complete else int(facts.tokens[list(shelf.items)].sum())
    return Column(
        shelf,
        run.column(held),
        directory_tokens(shelf),
        file,
        file + rest,
        held[run.used],
        quoted[run.used],
        quoted[run.answers],
    )


def _readings(board: Board) -> Readings:
    run, columns, scores = board.run, list(board.columns.values()), board.scores
    holds = np.stack([column.holds for column in columns], axis=1)
    reached_at = np.where(holds, scores[run.used_of], -np.inf)
    home = reached_at.argmax(axis=1)
    reached = reached_at.max(axis=1)
    edge = np.minimum.reduceat(reached, run.starts)
    top = np.maximum.reduceat(reached, run.starts)
    before = scores > edge[:, None]
    last = home[_lowest(reached, edge, run)]
    # Of the last category only what was not reached before it has to stand in its file.
    quotes = np.stack([column.quotes for column in columns], axis=1)[np.arange(len(home)), home]
    missing = home == last[run.used_of]
    quoted = np.minimum.reduceat(np.where(missing, quotes, True), run.starts)
    file = np.asarray([column.file for column in columns], np.float64)
    full = np.asarray([column.full for column in columns], np.float64)
    ends = np.where(quoted, file[last], full[last])
    cost = (board.directory + before @ full + ends) / run.evidence.facts.total
    partial = np.asarray([not column.shelf.complete for column in columns])
    rank = before.sum(axis=1) + 1
    return Readings(
        cost,
        quoted & (rank == 1),
        quoted & ~(before & partial).any(axis=1),
        (scores > top[:, None]).sum(axis=1) + 1,
        rank,
    )


def _lowest(reached: Doubles, edge: Doubles, run: Rerun) -> Integers:
    """Return for each retrieval the place of the pair that is reached last."""
    places = np.where(reached == edge[run.used_of], np.arange(len(reached)), len(reached))
    return np.minimum.reduceat(places, run.starts).astype(np.int64)


def _recall(board: Board, scores: Doubles) -> Doubles:
    """Return the share of used rows among the first hits: what a file quotes as the answer goes before the others."""
    run = board.run
    order = np.argpartition(-scores, min(_QUOTING, scores.shape[1]) - 1, axis=1)[:, :_QUOTING]
    answers = np.stack([column.answers for column in board.columns.values()], axis=1)
    quoted = answers[np.arange(len(run.answers))[:, None], order[run.answers_of]].any(axis=1)
    first: dict[int, set[int]] = {}
    for number, row in zip(run.answers_of[quoted].tolist(), run.answers[quoted].tolist(), strict=True):
        first.setdefault(number, set()).add(row)
    return np.asarray(
        [_glanced(one.served, one.used, first.get(number, set())) for number, one in enumerate(run.evidence.retrievals)]
    )


def _glanced(served: Rows, used: Rows, first: set[int]) -> float:
    shown = [*(row for row in served if row in first), *(row for row in served if row not in first)][:_GLANCE]
    return sum(row in shown for row in used) / len(used)
