"""Conversations from callers: what is kept, and how a fault is named."""

import json

import pytest

from memstream.events.errors import InvalidInput, TooLarge
from memstream.events.messages import JSON, JSONL, MAX_MESSAGES, decode_messages, encode_messages, parse_messages


def test_ids_names_and_times_are_kept() -> None:
    given = [{"role": "user", "name": "Ana", "content": "hi", "time": "2024-05-01T10:00:00+02:00", "id": "x1"}]
    message = parse_messages(given)[0]
    assert (message.id, message.speaker, message.time and message.time.isoformat()) == (
        "x1",
        "Ana",
        "2024-05-01T10:00:00+02:00",
    )


def test_a_time_without_a_zone_is_utc() -> None:
    message = parse_messages([{"role": "user", "content": "hi", "time": "2024-05-01T10:00:00"}])[0]
    assert message.time is not None
    assert message.time.utcoffset() is not None


def test_a_message_without_a_name_is_spoken_by_its_role() -> None:
    assert parse_messages([{"role": "assistant", "content": "hi"}])[0].speaker == "assistant"


def test_the_same_messages_give_the_same_bytes_whatever_the_order_of_their_fields() -> None:
    left = parse_messages([{"role": "user", "content": "hi", "id": "1"}])
    right = parse_messages([{"id": "1", "content": "hi", "role": "user"}])
    assert encode_messages(left) == encode_messages(right)
    assert decode_messages(encode_messages(left), JSON) == left


def test_json_lines_and_a_messages_object_are_conversations_too() -> None:
    message = {"role": "user", "content": "hi"}
    assert decode_messages(f"{json.dumps(message)}\n\n{json.dumps(message)}\n".encode(), JSONL)[1].content == "hi"
    assert len(decode_messages(json.dumps({"messages": [message]}).encode(), JSON)) == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "empty"),
        ("text", "list of messages"),
        ([{"role": "user", "content": "a"}, {"role": "robot", "content": "b"}], "message 2: role"),
        ([{"role": "user"}], "message 1: content"),
        ([{"role": "user", "content": 5}], "message 1: content"),
        ([{"role": "user", "content": "a", "mood": "x"}], "message 1: mood"),
        (["hello"], "message 1 is str"),
        ([{"role": "user", "content": "  "}], "no message of the conversation has any text"),
        ([{"role": "user", "content": "a", "id": "1"}] * 2, "message 2 has the same id '1' as message 1"),
    ],
)
def test_a_bad_conversation_is_refused_by_place(values: object, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse_messages(values)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("content", "media_type", "said"),
    [
        (b'[{"role": "user",\n "content": }]', JSON, "line 2, column 13"),
        (b'{"role": "user", "content": "a"}\n{oops}\n', JSONL, "line 2"),
        (b"\xff\xfe\x00", JSON, "not UTF-8 text: byte 0"),
        (b"", JSON, "line 1"),
        (b'"text"', JSON, "list of messages"),
    ],
)
def test_bad_bytes_are_refused_with_the_line(content: bytes, media_type: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        decode_messages(content, media_type)


def test_a_huge_conversation_is_refused_with_the_limit() -> None:
    with pytest.raises(TooLarge, match="20,000"):
        parse_messages([{"role": "user", "content": "a"}] * (MAX_MESSAGES + 1))
