"""What feedback does to the ranking: bounded, fading, and stronger for like questions."""

from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memstream.projections.experience import Experience
from memstream.projections.ranking import WEIGHTS, newer_first

NORTH, EAST = np.eye(2, dtype=np.float32)


def told(*verdicts: tuple[str, float, "np.ndarray[tuple[int], np.dtype[np.float32]]"]) -> Experience:
    return Experience(
        tuple(hit for hit, _, _ in verdicts),
        np.asarray([says for _, says, _ in verdicts], np.float32),
        np.zeros(len(verdicts), np.bool_),
        np.arange(1, len(verdicts) + 1),
        np.stack([vector for _, _, vector in verdicts]),
    )


def lifts_of(
    experience: Experience, vector: "np.ndarray[tuple[int], np.dtype[np.float32]]", as_of: int
) -> Mapping[str, float]:
    return experience.lifts(vector, as_of, lambda _: (), {}).items


def test_what_was_used_rises_and_what_was_wrong_sinks() -> None:
    lifts = lifts_of(told(("tea", 1, NORTH), ("coffee", -1, NORTH)), NORTH, 10)
    assert lifts["tea"] > 0 > lifts["coffee"]


def test_a_verdict_counts_most_for_questions_like_its_own() -> None:
    experience = told(("tea", 1, NORTH))
    assert lifts_of(experience, NORTH, 10)["tea"] > lifts_of(experience, EAST, 10)["tea"] > 0


def test_a_verdict_that_was_not_given_yet_says_nothing() -> None:
    assert lifts_of(told(("tea", 1, NORTH)), NORTH, 0) == {}


def test_an_older_verdict_fades_behind_newer_ones() -> None:
    fresh, old = told(("tea", 1, NORTH)), told(("tea", 1, NORTH), *[("coffee", 1, NORTH)] * 2_000)
    assert lifts_of(old, EAST, 10_000)["tea"] < lifts_of(fresh, EAST, 10_000)["tea"] / 2


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([1.0, -1.0])), min_size=1, max_size=60))
def test_no_feedback_moves_a_hit_by_more_than_its_weight(verdicts: list[tuple[str, float]]) -> None:
    lifts = lifts_of(told(*[(hit, says, NORTH) for hit, says in verdicts]), NORTH, 1_000)
    assert all(-1 <= lift <= 1 for lift in lifts.values())
    # Less than what an exact match of the vector is worth: a fact that fits is never buried.
    assert all(WEIGHTS["feedback"].at(short) < WEIGHTS["vector"].at(short) / 5 for short in (0, 1))


def test_the_newer_statement_comes_right_before_what_it_replaced() -> None:
    assert newer_first([3, 1, 7], {1: 5}) == [3, 5, 1, 7]
    assert newer_first([3, 1, 5], {1: 5}) == [3, 5, 1]
    assert newer_first([1], {1: 2, 2: 4}) == [4, 2, 1]


def test_what_is_used_lifts_the_category_that_holds_it_and_a_verdict_on_a_category_counts_for_itself() -> None:
    experience = told(("tea", 1, NORTH), ("drinks", 1, NORTH), ("coffee", -1, NORTH))
    lifts = experience.lifts(NORTH, 10, {"tea": ("breakfast",), "coffee": ("evening",)}.get, {})  # type: ignore[arg-type]  # all are known
    assert lifts.categories["breakfast"] > 0 > lifts.categories["evening"]
    assert lifts.categories["drinks"] == lifts.items["drinks"] > 0
