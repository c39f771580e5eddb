"""Conversations as callers give them: messages, from Python values or from JSON and JSONL bytes.

The bytes of a conversation are kept as they came; a list given in Python is kept as canonical JSON.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from .errors import InvalidInput, TooLarge

JSON = "application/json"
JSONL = "application/jsonl"
MAX_MESSAGES = 20_000
MAX_MESSAGE_CHARACTERS = 200_000

Role = Literal["user", "assistant", "system", "tool"]


class Message(BaseModel):
    """One message; ``id`` and ``time`` are kept when given. A time without a zone is taken as UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    content: Annotated[str, Field(max_length=MAX_MESSAGE_CHARACTERS)]
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    time: datetime | None = None
    id: Annotated[str, Field(min_length=1, max_length=512)] | None = None

    @field_validator("time")
    @classmethod
    def _zoned(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    @property
    def speaker(self) -> str:
        """Who said it: the name, or the role of a nameless one."""
        return self.name or self.role


MessageLike = Message | Mapping[str, Any]


def parse_messages(values: Sequence[MessageLike], *, place: str = "message") -> list[Message]:
    """Check a conversation; raise InvalidInput that names the first bad message, and TooLarge for too many."""
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise InvalidInput(f"a conversation is a list of messages, got {type(values).__name__}")
    if not values:
        raise InvalidInput("the conversation is empty: give at least one message {role, content}")
    if len(values) > MAX_MESSAGES:
        raise TooLarge(f"{len(values):,} messages in one conversation, over {MAX_MESSAGES:,}: memorize it in parts")
    messages = [_parse(value, f"{place} {number}") for number, value in enumerate(values, start=1)]
    if not any(message.content.strip() for message in messages):
        raise InvalidInput("no message of the conversation has any text in 'content'")
    _refuse_duplicate_ids(messages, place)
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
        return parse_messages(list(_json_lines(text)), place="line")
    values: Any
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"invalid JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
    if isinstance(values, dict) and "messages" in values:
        return parse_messages(cast("dict[str, Any]", values)["messages"])
    return parse_messages(cast("list[Any]", values))


def encode_messages(messages: Iterable[Message]) -> bytes:
    """Return the canonical JSON of a conversation: the same messages always give the same bytes."""
    values = [message.model_dump(mode="json", exclude_none=True) for message in messages]
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _json_lines(text: str) -> Iterable[Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"invalid JSON on line {number}, column {error.colno}: {error.msg}") from error


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


def _refuse_duplicate_ids(messages: Sequence[Message], place: str) -> None:
    seen: dict[str, int] = {}
    for number, message in enumerate(messages, start=1):
        if message.id is None:
            continue
        if message.id in seen:
            raise InvalidInput(f"{place} {number} has the same id {message.id!r} as {place} {seen[message.id]}")
        seen[message.id] = number
