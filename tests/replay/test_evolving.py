"""Evolution over random histories: no statement is ever lost, and the log makes exactly what a trial judged."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from structures import asked, facts_of, shelf

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.subjects import Scope
from memstream.events.types import Event
from memstream.evolution.evidence import Facts
from memstream.evolution.objective import Board
from memstream.evolution.policy import Chance
from memstream.evolution.proposals import PROPOSERS, Proposal, View
from memstream.evolution.rerun import rerun
from memstream.evolution.run import Tried
from memstream.evolution.steps import Step, file_of, step_events, step_id_of
from memstream.evolution.structure import Structure
from memstream.evolution.trial import Verdict
from memstream.projections.apply import apply
from memstream.projections.state import State

SCOPE = Scope.of("acme", "ana")
FACTS = facts_of(topics=5, each=10)
EVIDENCE = asked(FACTS, [int(row) for row in np.random.default_rng(6).integers(len(FACTS), size=40)])


VERDICT = Verdict(40, 0.6, 0.5, 0.05, 0.15, 1.0, 1.0, 0.0, True, "less beyond chance")


class World:
    """A projection's working set, fed with events at rising positions."""

    def __init__(self) -> None:
        self.state = State()
        self.position = 0

    def apply(self, event: Event) -> None:
        self.position += 1
        apply(self.state, event.model_copy(update={"position": self.position}))

    @property
    def links(self) -> dict[str, set[str]]:
        """The live categories with all that they hold."""
        found: dict[str, set[str]] = {
            category: set() for (_, category), facts in self.state.categories.items() if facts.live
        }
        for (_, item), homes in self.state.links.items():
            for home in homes:
                found[home].add(item)
        return found


def filed(structure: Structure, facts: Facts, ended: set[int]) -> World:
    """Return a projection that holds a structure; some of its statements have ended."""
    world = World()
    for one in structure.shelves.values():
        data = p.CategoryCreatedData(category_id=one.id, name=one.name, description=one.description, origin="default")
        world.apply(t.CategoryCreated.of(SCOPE, data))
    span = p.Span(unit="message", start=0, end=1)
    segment = p.Segment(id="s", index=0, span=span, text="all")
    ingested = p.ResourceIngestedData(
        resource_id="r", digest="a" * 64, size=1, modality="conversation", media_type="application/json", name="r"
    )
    world.apply(t.ResourceIngested.of(SCOPE, ingested))
    described = p.ResourceDescribedData(resource_id="r", segments=(segment,), describer="d")
    world.apply(t.ResourceDescribed.of(SCOPE, described))
    homes = structure.homes()
    items = tuple(
        p.ExtractedItem(
            id=fact.id,
            kind="event",
            text=fact.line,
            categories=tuple(homes[row]),
            sources=(p.Source(resource_id="r", segment_id="s", span=span),),
        )
        for row, fact in enumerate(facts.rows)
    )
    world.apply(t.ItemsExtracted.of(SCOPE, p.ItemsExtractedData(resource_id="r", items=items, extractor="x")))
    for row in sorted(ended):
        data = p.ItemForgottenData(item_id=facts.rows[row].id, reason="asked for")
        world.apply(t.ItemForgotten.of(SCOPE, data))
    return world


def without(structure: Structure, ended: set[int]) -> Structure:
    """Return a structure as evolution sees it: of the live statements alone."""
    return Structure.of(
        shelf(one.id, [row for row in one.items if row not in ended], FACTS, name=one.name)
        for one in structure.shelves.values()
    )


def proposals(structure: Structure) -> list[Proposal]:
    homes = structure.homes()
    live = [one for one in EVIDENCE.retrievals if all(row in homes for row in one.used)]
    view = View(structure, Board.of(structure, rerun(EVIDENCE.with_retrievals(live))))
    found = [proposal for propose in PROPOSERS.values() for proposal in propose(view)]
    drawn = [proposal for seed in range(4) for proposal in Chance(seed=seed).propose(view)]
    return [*found, *drawn, *_moves(view)]


def _moves(view: View) -> Iterator[Proposal]:
    """Propose to empty each category into the next one, item by item, and to file the first items twice."""
    shelves = list(view.structure.shelves.values())
    for source, target in pairwise(shelves):
        rows = [row for row in source.items if row not in target.items]
        if not rows:
            continue
        grown = shelf(target.id, [*target.items, *source.items], view.facts, name=target.name)
        yield Proposal("refile", (grown,), (source.id,), "emptied into the next one")
        twice = shelf(target.id, [*target.items, *rows[:3]], view.facts, name=target.name)
        yield Proposal("refile", (twice,), (), "filed twice")


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    """Draw a structure of up to six categories; some statements are in two of them."""
    count = draw(st.integers(1, 6))
    homes = [draw(st.integers(0, count - 1)) for _ in range(len(FACTS))]
    second = draw(st.dictionaries(st.integers(0, len(FACTS) - 1), st.integers(0, count - 1), max_size=12))
    return Structure.of(
        shelf(f"c{place}", [row for row, home in enumerate(homes) if place in (home, second.get(row))], FACTS)
        for place in range(count)
    )


def take(world: World, structure: Structure, proposal: Proposal) -> Structure:
    """Take a step through its events and return the structure after it."""
    after = proposal.apply(structure)
    tried = Tried(proposal, 0.1, VERDICT)
    holdings = {one: set(world.links[one]) for one in proposal.closes}
    step = Step(SCOPE, tried, structure, FACTS, holdings)
    for event in step_events(step, step_id_of(proposal, world.position), world.position + 1):
        world.apply(event)
    return after


@settings(max_examples=30, deadline=None)
@given(structures(), st.data())
def test_any_steps_in_any_order_make_what_was_judged_and_lose_nothing(
    structure: Structure, data: st.DataObject
) -> None:
    ended = data.draw(st.sets(st.integers(0, len(FACTS) - 1), max_size=6))
    world, structure = filed(structure, FACTS, ended), without(structure, ended)
    gone = {FACTS.rows[row].id for row in ended}
    for _ in range(data.draw(st.integers(1, 4))):
        found = proposals(structure)
        if not found:
            return
        structure = take(world, structure, data.draw(st.sampled_from(found)))
        expected = {one.id: {FACTS.rows[row].id for row in one.items} for one in structure.shelves.values()}
        assert {category: items - gone for category, items in world.links.items()} == expected
        assert all(world.state.links[SCOPE.key, fact.id] for fact in FACTS.rows)


def test_a_step_writes_the_files_that_its_trial_judged() -> None:
    structure = Structure.of(shelf(f"c{place}", list(range(place, len(FACTS), 2)), FACTS) for place in range(2))
    proposal = next(iter(proposals(structure)))
    step = Step(SCOPE, Tried(proposal, 0.1, VERDICT), structure, FACTS, {})
    written = [one for one in step_events(step, "step", 10) if isinstance(one, t.CategorySummarized)]
    files = {one.id: file_of(one, FACTS) for one in proposal.becomes}
    assert {one.data.category_id for one in written} == set(files)
    for one in written:
        assert (one.data.text, one.data.citations) == files[one.data.category_id]
        assert one.data.covers >= 10


def test_the_events_of_a_step_name_its_trial_as_their_cause() -> None:
    structure = Structure.of(shelf(f"c{place}", list(range(place, len(FACTS), 2)), FACTS) for place in range(2))
    proposal = next(iter(proposals(structure)))
    step = Step(SCOPE, Tried(proposal, 0.1, VERDICT), structure, FACTS, {})
    trial, *others = step_events(step, "step", 10)
    assert isinstance(trial, t.EvolutionTrialed)
    assert {one.causation for one in others} == {trial.id}
    assert len({one.id for one in (trial, *others)}) == 1 + len(others)
