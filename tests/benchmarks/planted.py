"""Harmful proposals, planted to see how many a trial lets through: each makes memory dearer to read by construction.

Big merges of unlike categories, statements thrown together at random, files that quote what nobody asked for, a category
for every statement, used statements filed far away, all that nobody asked for yet in one heap.
"""

import numpy as np

from memstream import AsyncMemory
from memstream.events.subjects import Scope
from memstream.evolution.evidence import Recorded
from memstream.evolution.loading import load
from memstream.evolution.naming import named
from memstream.evolution.objective import Board
from memstream.evolution.policy import policy_named
from memstream.evolution.proposals import Proposal, View
from memstream.evolution.proposals.create import left_behind
from memstream.evolution.quoting import quoted
from memstream.evolution.rerun import rerun
from memstream.evolution.structure import Shelf
from memstream.projections.apply import space_name

_PLANTED = 200


async def planted_share(
    memory: AsyncMemory, user: str, unseen: tuple[Recorded, ...], conversations: int, seed: int
) -> list[bool]:
    """Offer a conversation's part of 200 harmful proposals to its evolved memory; tell which were accepted.

    Only what makes the ``unseen`` questions dearer is planted: harm is what they say, not what a proposal looks like.
    """
    process = memory._backend._port  # type: ignore[attr-defined]  # what a user has no need of
    space = space_name(process._embedder.space)
    structure, evidence = await load(process.projection, Scope.of("default", user), space, latest=4_000)
    policy = policy_named("default")
    older, newer = (Board.of(structure, rerun(part)) for part in evidence.halves(policy.settings.older))
    view, chance = View(structure, older), np.random.default_rng(seed)
    truth = Board.of(structure, rerun(evidence.with_retrievals(unseen)))
    accepted: list[bool] = []
    drawn = 0
    while len(accepted) < -(-_PLANTED // conversations):
        proposal = _HARMFUL[drawn % len(_HARMFUL)](view, chance)
        drawn += 1
        changed = proposal.apply(structure)
        if truth.with_structure(changed).cost > truth.cost:
            # Like every proposal it is tried only if the older retrievals promise a gain.
            promised = older.cost > older.with_structure(changed).cost
            accepted.append(promised and policy.decide(newer, newer.with_structure(changed)).accepted)
    return accepted


def _thrown_together(view: View, chance: np.random.Generator) -> Proposal:
    shelves = _drawn(view, chance, 12)
    rows = sorted({row for shelf in shelves for row in shelf.items})
    merged = view.opened(rows, *named(rows, view.facts), quoted(rows, view.facts))
    return Proposal("merge", (merged,), tuple(shelf.id for shelf in shelves), "planted: unlike categories become one")


def _shuffled(view: View, chance: np.random.Generator) -> Proposal:
    shelves = _drawn(view, chance, 8)
    rows = sorted({row for shelf in shelves for row in shelf.items})
    parts = [part.tolist() for part in np.array_split(chance.permutation(rows), len(shelves))]
    new = [view.opened(part, *named(part, view.facts), quoted(part, view.facts)) for part in parts if part]
    return Proposal("refile", tuple(new), tuple(shelf.id for shelf in shelves), "planted: statements change places")


def _silent(view: View, chance: np.random.Generator) -> Proposal:
    shelves = _drawn(view, chance, max(2, len(view.structure.shelves) // 3))
    emptied = [
        Shelf(one.id, one.name, one.description, one.items, frozenset(one.items[:1]), one.origin) for one in shelves
    ]
    return Proposal("summarize", tuple(emptied), (), "planted: files leave out what is asked for")


def _scattered(view: View, chance: np.random.Generator) -> Proposal:
    shelves = _drawn(view, chance, max(2, len(view.structure.shelves) // 3))
    rows = sorted({row for shelf in shelves for row in shelf.items})
    new = [
        view.opened([row], view.facts.rows[row].line[:60], view.facts.rows[row].line, frozenset([row])) for row in rows
    ]
    rest, closed = left_behind(view, set(rows))
    return Proposal("split", (*rest, *new), closed, "planted: a category for every statement")


def _far_away(view: View, chance: np.random.Generator) -> Proposal:
    return _moved_away(view, chance, [row for row in view.used if row in view.homes])


def _heaped(view: View, chance: np.random.Generator) -> Proposal:
    """Heap up what nobody has asked for yet: the recorded retrievals alone would welcome it."""
    return _moved_away(view, chance, [row for row in view.homes if row not in view.used])


def _moved_away(view: View, chance: np.random.Generator, rows_of: list[int]) -> Proposal:
    rows = {int(row) for row in chance.choice(rows_of, max(1, len(rows_of) // 3), replace=False)}
    rest, closed = left_behind(view, rows)
    remaining = {shelf.id: shelf for shelf in view.structure.shelves.values() if shelf.id not in closed}
    remaining |= {shelf.id: shelf for shelf in rest}
    target = max(remaining.values(), key=lambda shelf: (len(shelf.items), shelf.id))
    grown = tuple(sorted({*target.items, *rows}))
    moved = Shelf(target.id, target.name, target.description, grown, frozenset(target.items[:8]), target.origin)
    return Proposal("refile", (*(one for one in rest if one.id != target.id), moved), closed, "planted: filed far away")


_HARMFUL = (_thrown_together, _shuffled, _silent, _scattered, _far_away, _heaped)


def _drawn(view: View, chance: np.random.Generator, count: int) -> list[Shelf]:
    shelves = sorted(view.structure.shelves.values(), key=lambda one: one.id)
    places = chance.choice(len(shelves), min(count, len(shelves)), replace=False)
    return [shelves[int(place)] for place in places]
