"""Rewriting, fusion and context: the rules around recall."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstream.events.payloads import Span
from memstream.projections.models import ItemHit, Recalled, ResourceHit, SourceRef
from memstream.projections.recall import quoted_answers
from memstream.projections.words import content_words, count_tokens
from memstream.services.context import pack_context
from memstream.services.reads import Turn
from memstream.services.rewriting import rewrite


@pytest.mark.parametrize(
    "query", ["Hi!", "Thanks a lot!", "Good morning", "ok", "Tell me a joke", "Who are you?", "👋"]
)
def test_greetings_and_chit_chat_need_no_memory(query: str) -> None:
    assert not rewrite(query, ()).needs_retrieval


@pytest.mark.parametrize("query", ["What does Ana do?", "Hi, where did I park?", "my address"])
def test_questions_need_memory(query: str) -> None:
    assert rewrite(query, ()).needs_retrieval


HISTORY = (
    Turn(role="user", content="I am meeting my colleague Sofia tomorrow."),
    Turn(role="assistant", content="Nice, enjoy the lunch with Sofia!"),
)


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("What does she do at weekends?", "What does Sofia do at weekends?"),
        ("What is her dog called?", "What is Sofia's dog called?"),
        ("Where did I meet her?", "Where did I meet Sofia?"),
        ("What does Tom think of her?", "What does Tom think of Sofia?"),
    ],
)
def test_a_pronoun_takes_the_person_last_spoken_of(query: str, asked: str) -> None:
    assert rewrite(query, HISTORY).query == asked


def test_a_pronoun_takes_a_name_that_memory_knows_before_other_capitalised_words() -> None:
    history = (Turn(role="user", content="I saw ana in the Louvre."),)
    assert rewrite("When did she leave?", history, ["Ana"]).query == "When did Ana leave?"


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("Salma did, a sarabande.", "What does Salma need?"),
        ("It is Salma, she comes from Ghent.", "What does Salma need?"),
        ("We fly to Lisbon on Monday.", "What does she need?"),
    ],
)
def test_only_what_may_be_a_person_is_one(said: str, asked: str) -> None:
    assert rewrite("What does she need?", (Turn(role="user", content=said),)).query == asked


def test_a_question_about_it_gets_the_topic_of_the_last_turn() -> None:
    history = (Turn(role="user", content="I signed the lease for the flat in Porto."),)
    assert "porto" in rewrite("When was that?", history).query


def test_without_a_history_a_question_stays_as_it_is() -> None:
    assert rewrite("What does she do?", ()).query == "What does she do?"


def test_a_file_answers_only_with_lines_that_hold_the_whole_question() -> None:
    text = "# habits\n- Ana goes climbing at weekends [^i-1]\n- Ana bakes bread [^i-2]\n"
    file = (text, ("i-1", "i-2"))
    assert quoted_answers(frozenset(content_words("When does Ana climb at weekends?")), [file]) == ["i-1"]
    assert quoted_answers(frozenset(content_words("Ana?")), [file]) == []


def test_a_question_that_memory_holds_is_no_answer() -> None:
    text = "- When does Ana go climbing at weekends? [^i-1]\n"
    file = (text, ("i-1",))
    assert quoted_answers(frozenset(content_words("When does Ana climb at weekends?")), [file]) == []


def _hit(number: int, text: str) -> ItemHit:
    source = SourceRef(resource_id="r", segment_id="s", span=Span(unit="message", start=0, end=1))
    return ItemHit(
        id=f"i-{number}",
        text=text,
        kind="event",
        speaker="Ana",
        happened=datetime(2024, 5, 1, tzinfo=UTC),
        sources=(source,),
        categories=("c",),
        score=1.0,
        rank=number,
        signals={},
    )


@given(st.lists(st.text(min_size=1, max_size=500), max_size=20), st.integers(50, 2_000))
def test_context_never_exceeds_its_budget(texts: list[str], budget: int) -> None:
    hits = tuple(_hit(number, text) for number, text in enumerate(texts, start=1))
    segment = ResourceHit(
        id="s",
        resource_id="r",
        name="chat",
        text="x " * 300,
        span=Span(unit="message", start=0, end=1),
        message_ids=(),
        time=None,
        items=(),
        score=1.0,
        rank=1,
    )
    assert count_tokens(pack_context(Recalled(items=hits, resources=(segment,)), budget)) <= budget


def test_context_cites_every_item_it_quotes() -> None:
    context = pack_context(Recalled(items=(_hit(1, "I climb"),)), 200)
    assert "I climb [^i-1]" in context
    assert "2024-05-01, Ana" in context
