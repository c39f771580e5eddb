"""What was used together for one question comes up together for the next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstream.projections.companions import companies, companions

TOLD = [("q1", "soup", 5), ("q1", "bread", 5), ("q2", "tea", 8), ("q3", "tea", 8), ("q3", "scones", 9)]
FOUND = companies(TOLD)


def test_a_statement_that_was_used_alone_keeps_no_company() -> None:
    assert [sorted(name for name, _ in one.members) for one in FOUND] == [["bread", "soup"], ["scones", "tea"]]


def test_what_was_used_beside_something_near_is_lifted_and_the_near_one_only_by_the_others() -> None:
    lifts = companions(FOUND, 10, {"tea": 1.0})
    assert lifts["scones"] == 1.0
    assert lifts["tea"] == 0.0
    assert "soup" not in lifts


def test_what_is_less_near_says_less() -> None:
    assert companions(FOUND, 10, {"tea": 0.5})["scones"] == pytest.approx(0.25)


def test_company_that_was_not_told_yet_says_nothing() -> None:
    assert companions(FOUND, 8, {"tea": 1.0}) == {"tea": 0.0}
    assert companions(FOUND, 4, {"tea": 1.0, "soup": 1.0}) == {}


def test_older_company_fades() -> None:
    later = companies(
        [("q0", "soup", 1), ("q0", "bread", 1)] + [(f"q{n}", f"{n}{side}", n) for n in range(2, 202) for side in "ab"]
    )
    assert companions(later, 1_000, {"soup": 1.0})["bread"] == pytest.approx(0.5)


@given(
    st.lists(st.tuples(st.sampled_from("qrs"), st.sampled_from("abcd"), st.integers(1, 9)), max_size=30),
    st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1)),
)
def test_no_company_lifts_beyond_one(told: list[tuple[str, str, int]], near: dict[str, float]) -> None:
    assert all(0 <= lift <= 1 for lift in companions(companies(told), 9, near).values())
