"""Times in a question: what they name, seen from the last day of a memory."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstream.projections.timing import Days, days_asked, event_asked

TODAY = date(2023, 10, 18)  # a Wednesday


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("What did she buy on 8 May 2023?", date(2023, 5, 8), date(2023, 5, 8)),
        ("What did she buy on May 8th, 2023?", date(2023, 5, 8), date(2023, 5, 8)),
        ("What happened on 2023-05-08?", date(2023, 5, 8), date(2023, 5, 8)),
        ("What did she buy on 3 December?", date(2022, 12, 3), date(2022, 12, 3)),
        ("Where was he in May 2023?", date(2023, 5, 1), date(2023, 5, 31)),
        ("Where was he last May?", date(2023, 5, 1), date(2023, 5, 31)),
        ("Where was he in November?", date(2022, 11, 1), date(2022, 11, 30)),
        ("What did they do in the summer of 2022?", date(2022, 6, 1), date(2022, 8, 31)),
        ("Where did he live in 2021?", date(2021, 1, 1), date(2021, 12, 31)),
        ("What did I do yesterday?", date(2023, 10, 17), date(2023, 10, 17)),
        ("What did I do last Friday?", date(2023, 10, 13), date(2023, 10, 13)),
        ("What did I do last week?", date(2023, 10, 4), date(2023, 10, 17)),
        ("What did I say two weeks ago?", date(2023, 10, 1), date(2023, 10, 7)),
    ],
)
def test_a_question_names_a_range_of_days(question: str, first: date, last: date) -> None:
    assert days_asked(question, TODAY) == [Days(first, last)]


@pytest.mark.parametrize("question", ["May I ask who called?", "What does Ana like?", "in 0000?"])
def test_other_questions_name_none(question: str) -> None:
    assert days_asked(question, TODAY) == []


def test_what_was_told_some_days_later_still_fits() -> None:
    may = Days(date(2023, 5, 1), date(2023, 5, 31))
    assert [may.fit(day) for day in (date(2023, 5, 31), date(2023, 6, 9), date(2023, 7, 1), date(2023, 4, 30))] == [
        1,
        0.5,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("question", "said", "after", "within"),
    [
        ("What did she do the week after the party?", "the party?", True, 14),
        ("Where did he live before she moved to Porto?", "she moved to Porto?", False, None),
    ],
)
def test_an_event_names_a_time(question: str, said: str, after: bool, within: int | None) -> None:
    found = event_asked(question)
    assert found is not None
    assert (found.said, found.after, found.within) == (said, after, within)


@given(
    st.text(max_size=80)
    | st.from_regex(
        r"(in|last|the week after|\d{1,4} weeks ago) (may|2023|99999|0000|friday|30 february)", fullmatch=True
    ),
    st.dates(),
)
def test_no_question_is_too_odd(question: str, today: date) -> None:
    for one in days_asked(question, today):
        assert one.first <= one.last
    if (event := event_asked(question)) is not None:
        event.days(date(2023, 5, 1))
