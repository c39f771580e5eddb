"""Whether the hits suffice: what the fall of their scores and the words that they cover say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstream.projections.sufficiency import confidence


def scores(first: float, others: float, count: int = 30) -> np.ndarray:
    return np.asarray([others] * 4 + [first] + [others] * (count - 5), np.float32)


def test_one_hit_that_stands_out_and_says_all_of_it_suffices() -> None:
    found = confidence(scores(1.0, 0.5), 1.0)
    assert found is not None
    assert found > 0.9


def test_hits_that_are_all_alike_and_say_nothing_of_it_do_not() -> None:
    found = confidence(scores(1.0, 0.99), 0.0)
    assert found is not None
    assert found < 0.1


@given(st.floats(0.1, 1), st.floats(0, 1), st.floats(0, 1))
def test_more_of_the_question_in_the_hits_never_lowers_the_confidence(others: float, less: float, more: float) -> None:
    low, high = sorted((less, more))
    one, two = confidence(scores(1.0, others), low), confidence(scores(1.0, others), high)
    assert one is not None
    assert two is not None
    assert 0 <= one <= two <= 1


@pytest.mark.parametrize("count", [5, 10])
def test_ten_candidates_tell_nothing_by_their_scores(count: int) -> None:
    assert confidence(scores(1.0, 0.1, count), 1.0) is None


def test_what_cannot_be_returned_does_not_count() -> None:
    hidden = scores(1.0, 0.1)
    hidden[10:] = -np.inf
    assert confidence(hidden, 1.0) is None
