"""Structures that need no evolution, on the same questions: k-means over the items' vectors, a category a session.

Their files are written and their categories ranked like the product's; only what is filed where differs.
"""

from collections.abc import Sequence
from typing import NamedTuple

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
from memstream.evolution.rerun import rerun
from memstream.evolution.structure import Shelf, Structure
from memstream.projections.apply import space_name
from memstream.projections.words import content_words


class Baselines(NamedTuple):
    """What the odd questions cost under each baseline, and those questions as evolution would have recorded them."""

    reads: dict[str, list[Read]]
    asked: tuple[Recorded, ...]


_CLUSTERS = (10, 20, 40, 80)


async def baselines_of(memory: AsyncMemory, user: AsyncUser, odd: Sequence[Query], behind: Behind) -> Baselines:
    """Return what the odd questions cost to read under each baseline."""
    service = memory._backend
    process = service._port  # type: ignore[attr-defined]
    space = process._embedder.space
    _, evidence = await load(process.projection, user.scope, space_name(space), latest=1)
    facts = evidence.facts
    asked = await _asked(process, odd, behind, facts)
    run = rerun(Evidence(evidence.scope, evidence.as_of, facts, asked))
    found = {"sessions": _reads(_sessions(facts), facts, run)}
    for count in _CLUSTERS:
        groups = clusters(range(len(facts)), facts, count)
        found[f"k-means {count}"] = _reads(groups, facts, run)
    return Baselines(found, asked)


async def _asked(process: "object", odd: Sequence[Query], behind: Behind, facts: Facts) -> tuple[Recorded, ...]:
    vectors = await process._embedder.embed([query.text for query in odd])  # type: ignore[attr-defined]
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


def _reads(groups: Sequence[Sequence[int]], facts: Facts, run: "object") -> list[Read]:
    shelves = [
        Shelf(str(number), *named(rows, facts), tuple(rows), quoted(rows, facts)) for number, rows in enumerate(groups)
    ]
    read = Board.of(Structure.of(shelves), run).readings  # type: ignore[arg-type]
    return [
        Read(float(cost), bool(alone), bool(files), int(first), int(last), len(shelves))
        for cost, alone, files, first, last in zip(
            read.cost, read.first_file, read.files, read.first, read.last, strict=True
        )
    ]
