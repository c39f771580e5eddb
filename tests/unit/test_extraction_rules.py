"""The rule-based extraction: statements, small talk, kinds, times, echoes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstream.projections.words import identity
from memstream.services.local.echo import served_statements, strip_echoes
from memstream.services.local.kinds import kind_of
from memstream.services.local.statements import MAX_WORDS, is_small_talk, statements
from memstream.services.local.when import resolve_time

SAID = datetime(2024, 5, 15, 12, 0, tzinfo=UTC)  # a Wednesday
TEXT = st.text(st.characters(codec="utf-8"), max_size=600)


@given(TEXT)
def test_statements_are_verbatim_and_lose_no_word(text: str) -> None:
    pieces = statements(text, 10)
    assert all(text[piece.start : piece.end] == piece.text for piece in pieces)
    assert " ".join(" ".join(piece.text for piece in pieces).split()) == " ".join(text.split())


@given(TEXT)
def test_no_statement_is_longer_than_the_limit(text: str) -> None:
    assert all(len(piece.text.split()) <= 10 for piece in statements(text, 10))


def test_a_short_message_is_one_statement_and_a_long_one_is_cut_at_sentences() -> None:
    sentence = "The quick brown fox jumps over the lazy dog near the river bank. "
    assert len(statements(sentence)) == 1
    pieces = statements(sentence * 12)
    assert len(pieces) > 1
    assert all(piece.text.endswith(".") and len(piece.text.split()) <= MAX_WORDS for piece in pieces)


@pytest.mark.parametrize(
    "text",
    [
        "Hi!",
        "Thanks a lot",
        "ok",
        "Hello there, how are you?",
        "👍",
        "Good morning!",
        "...",
        "",
        "Good morning Mara! How are you?",
        "Hey, Noor!",
    ],
)
def test_small_talk_is_no_statement(text: str) -> None:
    assert is_small_talk(text)


@pytest.mark.parametrize(
    "text",
    [
        "I moved to Lyon",
        "Thanks, the new job starts Monday",
        "My dog is ill",
        "No sugar for me",
        "Hey Mara, the boat sank",
    ],
)
def test_what_says_something_is_a_statement(text: str) -> None:
    assert not is_small_talk(text)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("I saw her yesterday", "2024-05-14"),
        ("last night was fun", "2024-05-14"),
        ("the day before yesterday", "2024-05-13"),
        ("two weeks ago we met", "2024-05-01"),
        ("we leave in 3 days", "2024-05-18"),
        ("last Friday", "2024-05-10"),
        ("next Monday", "2024-05-20"),
        ("last weekend", "2024-05-11"),
        ("next weekend", "2024-05-18"),
        ("nothing relative", "2024-05-15"),
    ],
)
def test_relative_times_are_resolved_against_when_they_were_said(text: str, day: str) -> None:
    resolved = resolve_time(text, SAID)
    assert resolved is not None
    assert f"{resolved:%Y-%m-%d}" == day


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("My name is Ana and I live in Lyon", "profile"),
        ("I usually bake on Sundays", "behavior"),
        ("I went to Rome last week", "event"),
        ("I can play the cello", "skill"),
        ("Water boils at 100 degrees", "knowledge"),
    ],
)
def test_kinds_follow_the_wording(text: str, kind: str) -> None:
    assert kind_of(text, spoken_by_user=True) == kind


def test_what_an_assistant_says_is_knowledge() -> None:
    assert kind_of("I went to Rome last week", spoken_by_user=False) == "knowledge"


SERVED = served_statements([("0195aaaa-1", "On weekends I usually go climbing with Mia.", "Ana")])


@pytest.mark.parametrize(
    "echo",
    [
        "On weekends I usually go climbing with Mia.",
        "You told me: on weekends I usually go climbing with Mia!",
        "- (2024-05-01, Ana) On weekends I usually go climbing with Mia. [^0195aaaa-1]",
        "## What memory holds\n- (2024-05-01, Ana) On weekends I usually go climbing with Mia. [^0195aaaa-1]",
    ],
)
def test_an_agent_that_repeats_recalled_memory_says_nothing_new(echo: str) -> None:
    own, items = strip_echoes(echo, "assistant", SERVED)
    assert not own
    assert items == ("0195aaaa-1",)


def test_what_is_new_beside_an_echo_is_kept_word_for_word() -> None:
    own, items = strip_echoes(
        "On weekends I usually go climbing with Mia. The hall closes in June.", "assistant", SERVED
    )
    assert own == "The hall closes in June."
    assert items == ("0195aaaa-1",)


def test_the_person_who_said_it_may_say_it_again() -> None:
    said = "On weekends I usually go climbing with Mia."
    assert strip_echoes(said, "user", SERVED).text == said


def test_what_is_said_about_a_cited_statement_is_kept() -> None:
    said = "About that [^0195aaaa-1]: the doctor says since May I can only go on every second one of these weekends."
    assert strip_echoes(said, "assistant", SERVED).text == said


def test_a_tool_that_hands_out_recalled_ids_says_nothing_new() -> None:
    result = '{"items": [{"id": "0195aaaa-1", "text": "anything"}]}'
    assert strip_echoes(result, "tool", SERVED) == ("", ("0195aaaa-1",))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("I write C++", "I write C#"),
        ("It was -5 degrees", "It was +5 degrees"),
        ("$50", "50%"),
        ("かぎ", "かき"),
        ("Ana left?", "Ana left"),
    ],
)
def test_statements_that_differ_in_a_sign_are_different_statements(left: str, right: str) -> None:
    assert identity(left) != identity(right)


def test_case_spacing_and_a_full_stop_do_not_make_another_statement() -> None:
    assert identity("I  climb on\nWeekends.") == identity("i climb on weekends")


def test_nothing_is_an_echo_before_anything_was_recalled() -> None:
    assert strip_echoes("On weekends I go climbing.", "assistant", served_statements([])).echoes == ()
