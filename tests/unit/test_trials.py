"""Trials and runs: what is kept is what recorded retrievals, which it was not chosen on, confirm."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest
from structures import asked, facts_of, scattered, shelf

from memstream.events.errors import InvalidInput
from memstream.evolution.evidence import Evidence
from memstream.evolution.objective import Board
from memstream.evolution.policy import Evolving, Settings, policy_named
from memstream.evolution.proposals import PROPOSERS, Proposal, View
from memstream.evolution.rerun import rerun
from memstream.evolution.run import Made, Past, evolve
from memstream.evolution.structure import Structure
from memstream.evolution.trial import Bar, interval, judge

FACTS = facts_of()
CHANCE = np.random.default_rng(6)
EVIDENCE = asked(FACTS, [int(row) for row in CHANCE.integers(len(FACTS), size=60)])
TOPICS = Structure.of(shelf(f"t{one}", list(range(one * 12, one * 12 + 12)), FACTS) for one in range(8))


@dataclass(frozen=True)
class Given(Evolving):
    """A policy that proposes what a test gives it."""

    given: tuple[Proposal, ...] = ()

    def propose(self, view: View) -> Iterable[Proposal]:  # type: ignore[override]  # narrower than the protocol
        return [one for one in self.given if all(home in view.structure.shelves for home in one.closes)]


def boards(before: Structure, after: Structure, evidence: Evidence = EVIDENCE) -> tuple[Board, Board]:
    run = rerun(evidence)
    return Board.of(before, run), Board.of(after, run)


def test_a_better_structure_is_accepted_with_its_evidence() -> None:
    verdict = judge(*boards(scattered(FACTS), TOPICS), Bar())
    assert verdict.accepted
    assert verdict.after < verdict.before
    assert 0 < verdict.low <= verdict.before - verdict.after <= verdict.high


def test_a_worse_structure_is_rejected() -> None:
    verdict = judge(*boards(TOPICS, scattered(FACTS)), Bar())
    assert not verdict.accepted
    assert "not beyond chance" in verdict.reason


def test_too_few_newer_retrievals_decide_nothing() -> None:
    few = asked(FACTS, [1, 2, 3])
    verdict = judge(*boards(scattered(FACTS), TOPICS, few), Bar())
    assert not verdict.accepted
    assert "only 3 newer retrievals" in verdict.reason


def test_heaping_up_what_nobody_asked_for_yet_is_rejected() -> None:
    # Only the first topic was ever asked for: throwing all the others together would serve those questions.
    evidence = asked(FACTS, [int(row) for row in CHANCE.integers(12, size=40)])
    heap = Structure.of([TOPICS.shelves["t0"], shelf("heap", list(range(12, len(FACTS))), FACTS)])
    verdict = judge(*boards(TOPICS, heap, evidence), Bar())
    assert verdict.after < verdict.before
    assert not verdict.accepted
    assert "nobody asked for yet" in verdict.reason


def test_the_same_differences_always_give_the_same_interval() -> None:
    differences = CHANCE.standard_normal(200)
    assert interval(differences, 0.95) == interval(differences, 0.95)
    assert interval(differences, 0.99)[0] < interval(differences, 0.95)[0]


def test_a_run_finds_categories_that_are_cheaper_for_questions_it_never_saw() -> None:
    unseen = rerun(asked(FACTS, list(range(1, len(FACTS), 2)), seed=7))
    before = scattered(FACTS)
    done = evolve(before, EVIDENCE, Evolving())
    assert done.accepted
    assert Board.of(done.structure, unseen).cost < 0.6 * Board.of(before, unseen).cost


def test_a_run_is_repeatable_to_the_last_figure() -> None:
    first, second = (evolve(scattered(FACTS), EVIDENCE, Evolving()) for _ in range(2))
    assert first.structure == second.structure
    assert [one.verdict for one in first.tried] == [one.verdict for one in second.tried]


def test_without_recorded_use_nothing_is_tried() -> None:
    assert evolve(scattered(FACTS), asked(FACTS, []), Evolving()).tried == ()


def test_a_run_tries_no_more_than_its_budget() -> None:
    done = evolve(scattered(FACTS), EVIDENCE, Evolving(settings=Settings(trials=3)))
    assert len(done.tried) <= 3


def test_what_was_rejected_is_not_tried_again_on_the_same_evidence() -> None:
    bad = Proposal("merge", (shelf("all", list(range(96)), FACTS),), tuple(TOPICS.shelves), "planted")
    policy = Given(given=(bad,), settings=Settings(fewest=1_000))
    first = evolve(scattered(FACTS), EVIDENCE, Evolving(settings=Settings(fewest=1_000)))
    refused = frozenset(one.proposal.fingerprint for one in first.tried)
    again = evolve(scattered(FACTS), EVIDENCE, Evolving(settings=Settings(fewest=1_000)), Past(rejected=refused))
    assert first.tried
    assert not refused & {one.proposal.fingerprint for one in again.tried}
    assert evolve(TOPICS, EVIDENCE, policy).accepted == ()


@pytest.mark.parametrize(("rested", "tried"), [(0, 0), (50, 1)])
def test_what_was_merged_is_split_again_only_after_it_has_rested(rested: int, tried: int) -> None:
    whole = Structure.of([shelf("all", list(range(96)), FACTS)])
    parts = tuple(shelf(f"p{one}", list(range(one * 12, one * 12 + 12)), FACTS) for one in range(8))
    proposal = Proposal("split", parts, ("all",), "planted")
    past = Past(made=(Made("merge", frozenset({"a", "b"}), frozenset({"all"}), rested),))
    done = evolve(whole, EVIDENCE, Given(given=(proposal,)), past)
    assert len(done.tried) == tried


@pytest.mark.parametrize("kind", list(PROPOSERS))
def test_every_proposal_keeps_every_statement_and_says_why_in_numbers(kind: str) -> None:
    for structure in (scattered(FACTS), TOPICS):
        view = View(structure, Board.of(structure, rerun(EVIDENCE)))
        for proposal in PROPOSERS[kind](view):  # type: ignore[index]  # a str of pytest is one of the kinds
            after = proposal.apply(structure)
            assert set(after.homes()) == set(range(len(FACTS)))
            assert any(letter.isdigit() for letter in proposal.reason)


def test_a_step_that_would_lose_a_statement_is_refused() -> None:
    with pytest.raises(InvalidInput, match="in no category"):
        TOPICS.with_shelves([], closes=["t0"])


def test_a_policy_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(InvalidInput, match=r"unknown policy 'better'; known are default, none, random"):
        policy_named("better")
