"""Conversations as callers give them: messages, from Python values or from JSON and JSONL bytes.

The bytes of a conversation are kept as they came; a list given in Python is kept as canonical JSON.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import InvalidInput, TooLarge
from .payloads import storable

JSON = "application/json"
JSONL = "application/jsonl"
MAX_MESSAGES = 20_000
MAX_MESSAGE_CHARACTERS = 100_000

Role = Literal["user", "assistant", "system", "tool"]


class Message(BaseModel):
    """One message; ``id`` and ``time`` are kept when given. A time without a zone is taken as UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    content: Annotated[str, Field(max_length=MAX_MESSAGE_CHARACTERS)]
    name: Annotated[str, Field(max_length=200, pattern=r"\S")] | None = None
    time: datetime | None = None
    id: Annotated[str, Field(min_length=1, max_length=512)] | None = None

    @field_validator("time")
    @classmethod
    def _zoned(cls, value: datetime | None) -> datetime | None:
        return None if value is None else zoned(value)

    @property
    def speaker(self) -> str:
        """Who said it: the name, or the role of a nameless one."""
        return self.name or self.role


def zoned(moment: datetime) -> datetime:
    """Take a time without a zone as UTC; raise ValueError for years that the stores cannot hold."""
    return storable(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)


MessageLike = Message | Mapping[str, Any]


def parse_messages(
    values: Sequence[MessageLike], *, place: str = "message", numbers: Sequence[int] | None = None
) -> list[Message]:
    """Check a conversation; raise InvalidInput that names the first bad message, and TooLarge for too many."""
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise InvalidInput(f"a conversation is a list of messages, got {type(values).__name__}")
    if not values:
        raise InvalidInput("the conversation is empty: give at least one message {role, content}")
    if len(values) > MAX_MESSAGES:
        raise TooLarge(f"{len(values):,} messages in one conversation, over {MAX_MESSAGES:,}: memorize it in parts")
    named = numbers or range(1, len(values) + 1)
    messages = [_parse(value, f"{place} {number}") for number, value in zip(named, values, strict=True)]
    if not any(message.content.strip() for message in messages):
        raise InvalidInput("no message of the conversation has any text in 'content'")
    _refuse_duplicate_ids(messages, place, named)
    return messages


def decode_messages(content: bytes, media_type: str) -> list[Message]:
    """Parse the bytes of a conversation; raise InvalidInput with the line of the first fault."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"the conversation is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}"
        ) from error
    if media_type == JSONL:
        lines = list(_json_lines(text))
        return parse_messages([value for _, value in lines], place="line", numbers=[number for number, _ in lines])
    values: Any
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"invalid JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"JSON that cannot be a conversation: {error}") from error
    if isinstance(values, dict) and "messages" in values:
        return parse_messages(cast("dict[str, Any]", values)["messages"])
    return parse_messages(cast("list[Any]", values))


def encode_messages(messages: Iterable[Message]) -> bytes:
    """Return the canonical JSON of a conversation: the same messages always give the same bytes."""
    values = [message.model_dump(mode="json", exclude_none=True) for message in messages]
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _json_lines(text: str) -> Iterable[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"invalid JSON on line {number}, column {error.colno}: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"line {number} cannot be a message: {error}") from error


def _parse(value: MessageLike, place: str) -> Message:
    if isinstance(value, Message):
        return value
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{place} is {type(value).__name__}, not an object with role and content")
    try:
        return Message.model_validate(dict(value))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in detail["loc"])
        raise InvalidInput(f"{place}: {field}: {detail['msg']} (got {_short(detail.get('input'))})") from error


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."  # noqa: PLR2004 - a line of a terminal


def _refuse_duplicate_ids(messages: Sequence[Message], place: str, numbers: Sequence[int]) -> None:
    seen: dict[str, int] = {}
    for number, message in zip(numbers, messages, strict=True):
        if message.id is None:
            continue
        if message.id in seen:
            raise InvalidInput(f"{place} {number} has the same id {message.id!r} as {place} {seen[message.id]}")
        seen[message.id] = number
