"""Cutting resources: every message and every word is in exactly one segment."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from memstream.events.messages import Message
from memstream.services.describer import joined
from memstream.services.describing import describe_conversation, describe_document

NOW = datetime(2024, 5, 1, tzinfo=UTC)
MESSAGES = st.lists(
    st.builds(Message, role=st.sampled_from(["user", "assistant"]), content=st.text(max_size=400)),
    min_size=1,
    max_size=40,
)
DOCUMENT = """# Rock garden

## Opening hours

We open at nine.
On Sundays we open at ten.

## Rules

- Shoes off
- No chalk on the walls

A long closing paragraph ends it.
"""


@given(MESSAGES)
def test_segments_cover_every_message_once_and_in_order(messages: list[Message]) -> None:
    segments, passages = describe_conversation("r", messages, NOW)
    assert [place for one in segments for place in range(one.span.start, one.span.end)] == list(range(len(messages)))
    assert [passage.start for passage in passages] == list(range(len(messages)))
    assert [passage.text for passage in passages] == [message.content for message in messages]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=3_000))
def test_document_segments_are_exact_spans_that_lose_no_word(text: str) -> None:
    segments, _, _ = describe_document("r", text, NOW)
    assert all(text[one.span.start : one.span.end] == one.text for one in segments)
    assert "".join("".join(one.text.split()) for one in segments) == "".join(text.split())


def test_a_message_without_an_id_is_named_by_its_place_and_has_the_last_known_time() -> None:
    messages = [Message(role="user", content="a", time=NOW, id="x"), Message(role="user", content="b")]
    _, passages = describe_conversation("r", messages, datetime(2030, 1, 1, tzinfo=UTC))
    assert [passage.message_id for passage in passages] == ["x", "m2"]
    assert [passage.time for passage in passages] == [NOW, NOW]


def test_passages_know_the_headings_above_them_and_list_entries_stand_alone() -> None:
    _, passages, title = describe_document("r", DOCUMENT, NOW)
    assert title == "Rock garden"
    found = {passage.text: passage.before for passage in passages}
    assert found["Shoes off"] == "Rock garden › Rules"
    assert found["We open at nine.\nOn Sundays we open at ten."] == "Rock garden › Opening hours"
    assert all(DOCUMENT[passage.start : passage.end] == passage.text for passage in passages)


def test_the_same_resource_is_always_cut_the_same_way() -> None:
    assert describe_document("r", DOCUMENT, NOW) == describe_document("r", DOCUMENT, NOW)


WORDS = st.sampled_from(
    ["# Heading", "- an item", "word ", "wörd\u3000", " ", "\n", "\n\n", "\t", "x" * 900, "1. ", "."]
)


@given(st.lists(WORDS, max_size=60).map("".join).map(str.strip))
def test_a_text_is_cut_the_same_when_it_is_put_together_from_its_segments(text: str) -> None:
    segments, passages, _ = describe_document("r", text, NOW)
    again, passages_again, _ = describe_document("r", joined(segments), NOW)
    assert (again, passages_again) == (segments, passages)
