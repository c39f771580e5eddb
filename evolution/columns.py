"""One category as the objective sees it: what it costs to read, and how it scores for each recorded retrieval."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memstream.projections.words import count_tokens

from .evidence import Facts
from .rerun import Flags, Rerun
from .structure import Shelf

Doubles = NDArray[np.float64]
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
    """One category as the objective sees it: a score for each retrieval, tokens, and which used rows it holds.

    ``reached`` is its score for the retrieval of each used row that it holds, and minus infinity for other rows.
    """

    shelf: Shelf
    scores: Doubles
    reached: Doubles
    listed: int
    file: int
    full: int
    quotes: Flags
    answers: Flags


def column_of(shelf: Shelf, run: Rerun) -> Column:
    """Score a category against recorded retrievals."""
    facts = run.evidence.facts
    held, quoted = np.zeros(len(facts), np.bool_), np.zeros(len(facts), np.bool_)
    held[list(shelf.items)] = True
    quoted[[row for row in shelf.quoted if held[row]]] = True
    file = file_tokens(shelf, facts)
    rest = 0 if shelf.complete else int(facts.tokens[list(shelf.items)].sum())
    scores = run.column(held)
    return Column(
        shelf,
        scores,
        np.where(held[run.used], scores[run.used_of], -np.inf),
        directory_tokens(shelf),
        file,
        file + rest,
        quoted[run.used],
        quoted[run.answers],
    )
