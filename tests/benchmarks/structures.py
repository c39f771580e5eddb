"""Structures that need no evolution, on the same questions: k-means over the items' vectors, a category a session.

Their files are written and their categories ranked like the product's; only what is filed where differs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from corpora import Query
from reading import Read
from recall import Behind

from memstream import AsyncMemory, AsyncUser
from memstream.evolution.clusters import clusters
from memstream.evolution.evidence import Evidence, Facts, Recorded
from memstream.evolution.loading import load
from memstream.evolution.naming import named
from memstream.evolution.objective import Board
from memstream.evolution.quoting import quoted
from memstream.evolution.rerun import Rerun, rerun
from memstream.evolution.structure import Shelf, Structure
from memstream.projections.apply import space_name
from memstream.projections.words import content_words


class Baselines(NamedTuple):
    """What the odd questions cost under each baseline, and those questions as evolution would have recorded them."""

    reads: dict[str, list[Read]]
    asked: tuple[Recorded, ...]


_CLUSTERS = (10, 20, 40, 80)
_RECORDED = 4_000


async def situation(
    memory: AsyncMemory, user: AsyncUser, odd: Sequence[Query], behind: Behind
) -> tuple[Structure, Evidence, Rerun]:
    """Return a user's structure, what was recorded, and the odd questions as if they had been recorded, too."""
    process: Any = memory._backend._port  # type: ignore[attr-defined]  # what a user has no need of
    # The last feedback is behind the log, and read a moment later.
    await process.projector.wait_for((await user.status()).log_position)
    structure, evidence = await load(
        process.projection, user.scope, space_name(process._embedder.space), latest=_RECORDED
    )
    asked = await _asked(process, odd, behind, evidence.facts)
    return structure, evidence, rerun(evidence.with_retrievals(asked))


async def baselines_of(memory: AsyncMemory, user: AsyncUser, odd: Sequence[Query], behind: Behind) -> Baselines:
    """Return what the odd questions cost to read under each baseline."""
    _, evidence, run = await situation(memory, user, odd, behind)
    facts = evidence.facts
    found = {"sessions": reads_of(_shelved(_sessions(facts), facts), run)}
    for count in _CLUSTERS:
        groups = clusters(range(len(facts)), facts, count)
        found[f"k-means {count}"] = reads_of(_shelved(groups, facts), run)
    return Baselines(found, run.evidence.retrievals)


async def _asked(process: Any, odd: Sequence[Query], behind: Behind, facts: Facts) -> tuple[Recorded, ...]:
    vectors = await process._embedder.embed([query.text for query in odd])
    recorded: list[Recorded] = []
    for number, query in enumerate(odd):
        used = tuple(
            facts.row_of[item] for item, said in behind.items() if said & query.evidence and item in facts.row_of
        )
        vector = np.asarray(vectors[number], np.float32)
        vector /= np.float32(float(np.linalg.norm(vector)) or 1.0)
        recorded.append(
            Recorded(str(number), number, frozenset(content_words(query.text)), vector, (), tuple(sorted(used)))
        )
    return tuple(recorded)


def _sessions(facts: Facts) -> list[tuple[int, ...]]:
    groups: dict[str, list[int]] = {}
    for row, fact in enumerate(facts.rows):
        groups.setdefault(fact.session, []).append(row)
    return [tuple(rows) for rows in groups.values()]


def _shelved(groups: Sequence[Sequence[int]], facts: Facts) -> Structure:
    return Structure.of(
        Shelf(str(number), *named(rows, facts), tuple(rows), quoted(rows, facts)) for number, rows in enumerate(groups)
    )


def reads_of(structure: Structure, run: Rerun) -> list[Read]:
    """Return what each question costs to read in a structure that need not exist."""
    read, count = Board.of(structure, run).readings, len(structure.shelves)
    return [
        Read(float(cost), bool(alone), bool(files), int(first), int(last), count)
        for cost, alone, files, first, last in zip(
            read.cost, read.first_file, read.files, read.first, read.last, strict=True
        )
    ]
