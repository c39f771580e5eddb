"""What the caller says in a request, as plain turns: out of dicts, of the package's own objects, of parts of content."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from memstream.services.reads import Turn


class Asked(NamedTuple):
    """A request's turns: those before the question, the question, and whether tools have answered behind it.

    ``new`` are the user's turns behind the last one that a model made: what this call says for the first time.
    ``key`` is the same for two requests of one conversation that ask the same question.
    """

    history: tuple[Turn, ...]
    question: str
    new: tuple[Turn, ...]
    continues: bool
    key: str


def asked_in(messages: object) -> Asked:
    """Read chat messages, or the input items of a response."""
    turns = [_turn(message) for message in _listed(messages)]
    last = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=-1)
    first = last
    while first > 0 and turns[first - 1].role == "user":
        first -= 1
    behind = max((place for place, turn in enumerate(turns) if turn.role == "assistant"), default=-1) + 1
    return Asked(
        history=tuple(turn for turn in turns[: max(first, 0)] if turn.role in ("user", "assistant") and turn.content),
        question="\n".join(turn.content for turn in turns[max(first, 0) : last + 1]).strip(),
        new=tuple(turn for turn in turns[behind:] if turn.role == "user" and turn.content.strip()),
        continues=0 <= last < len(turns) - 1,
        key=_key(turns[: last + 1]),
    )


def fields_of(message: object) -> Mapping[str, Any]:
    """Return a message's fields, whether it is a dict or an object of the package; empty for anything else."""
    if isinstance(message, BaseModel):
        return message.model_dump(exclude_none=True)
    return cast("Mapping[str, Any]", message) if isinstance(message, Mapping) else {}


def text_of(content: object) -> str:
    """Return the text of a message's content: the string, or its parts that are text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    texts = (fields_of(part).get("text") for part in cast("Sequence[object]", content))
    return "\n".join(text for text in texts if isinstance(text, str))


def _listed(messages: object) -> Iterable[object]:
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    return cast("Sequence[object]", messages) if isinstance(messages, Sequence) else ()


def _turn(message: object) -> Turn:
    fields = fields_of(message)
    name = fields.get("name")
    named = name if isinstance(name, str) and name.strip() else None
    text = text_of(fields.get("content")).encode("utf-8", "replace").decode()
    return Turn(role=_role(fields), content=text, name=named)


def _role(fields: Mapping[str, Any]) -> str:
    """Return who made it: items without a role are a tool's output or, like a function call, the model's."""
    if isinstance(role := fields.get("role"), str):
        return role
    return "tool" if str(fields.get("type", "")).endswith("_output") else "assistant"


def _key(turns: Sequence[Turn]) -> str:
    said = json.dumps([(turn.role, turn.name, turn.content) for turn in turns])
    return hashlib.sha256(said.encode()).hexdigest()
