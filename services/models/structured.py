"""Structured output: a schema that strict servers take, and a reader for what the others send."""

import functools
import json
import re
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

ModelT = TypeVar("ModelT", bound=BaseModel)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)
# A small model's thoughts, before its answer.
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
# Where an answer is wrong, a person and a model need no more of it than this.
_SHOWN = 200


class Unreadable(Exception):
    """An answer that is not what was asked for; the message says where."""


def strict_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """Return a JSON schema as strict servers want it: every property required, no others, no titles or defaults.

    All who ask share it, so it is not to be changed.
    """
    return _schema_of(kind)


@functools.cache
def _schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    # Made anew for each call it took a tenth of the event loop's work on an extraction.
    return cast("dict[str, Any]", _strict(kind.model_json_schema()))


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    schema = cast("dict[str, Any]", node)
    kept = {
        key: {name: _strict(value) for name, value in cast("dict[str, Any]", one).items()}
        if key in ("properties", "$defs")
        else _strict(one)
        for key, one in schema.items()
        if key not in ("title", "default", "description", "minLength", "maxLength", "minItems", "maxItems", "format")
    }
    if kept.get("type") == "object" or "properties" in kept:
        kept["additionalProperties"] = False
        kept["required"] = list(cast("dict[str, Any]", kept.get("properties", {})))
    return kept


def parse(text: str, kind: type[ModelT]) -> ModelT:
    """Return the first JSON object of a text as ``kind``; raise Unreadable with the reason."""
    plain = _THOUGHT.sub("", text)
    fenced = _FENCE.search(plain)
    body = fenced[1] if fenced else plain
    start = body.find("{")
    if start < 0:
        raise Unreadable(f"no JSON object in {body.strip()[:_SHOWN]!r}")
    try:
        document, _ = json.JSONDecoder().raw_decode(body[start:])
    except (json.JSONDecodeError, RecursionError) as error:
        raise Unreadable(f"broken JSON: {error}") from error
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:3])
        raise Unreadable(told) from error
