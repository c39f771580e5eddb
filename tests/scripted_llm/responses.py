"""The Responses API: the body of a response, and the events that a stream builds the same body with."""

import json
from collections.abc import Iterator
from typing import Any

from .answers import Reply, Request
from .chat import answered_tokens
from .tokens import count, pieces

_CREATED = 1_750_000_000
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response(request: Request, reply: Reply, identifier: str) -> dict[str, Any]:
    """Return a response: a message, then a function call for each of the reply's."""
    reason = _INCOMPLETE.get(reply.finish_reason)
    return {
        **_opening(request, identifier),
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": _output(reply, identifier),
        "usage": _usage(request, reply),
    }


def events(request: Request, reply: Reply, identifier: str) -> Iterator[str]:
    """Yield a response as server-sent events, numbered, the last one with the whole body."""
    whole = response(request, reply, identifier)
    kind = "response.incomplete" if whole["incomplete_details"] else "response.completed"
    for number, (name, data) in enumerate([*_told(request, reply, identifier), (kind, {"response": whole})]):
        body = {"type": name, "sequence_number": number, **data}
        yield f"event: {name}\ndata: {json.dumps(body)}\n\n"


def _told(request: Request, reply: Reply, identifier: str) -> Iterator[tuple[str, dict[str, Any]]]:
    opening = _opening(request, identifier)
    yield "response.created", {"response": opening}
    yield "response.in_progress", {"response": opening}
    for index, item in enumerate(_output(reply, identifier)):
        place = {"output_index": index}
        if item["type"] == "message":
            yield "response.output_item.added", {**place, "item": item | {"status": "in_progress", "content": []}}
            yield from _parts(item, place)
        else:
            yield "response.output_item.added", {**place, "item": item | {"status": "in_progress", "arguments": ""}}
            yield from _arguments(item, place)
        yield "response.output_item.done", {**place, "item": item}


def _parts(item: dict[str, Any], place: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, part in enumerate(item["content"]):
        at = {"item_id": item["id"], **place, "content_index": index}
        key = "text" if part["type"] == "output_text" else "refusal"
        name = "response.output_text" if key == "text" else "response.refusal"
        extra: dict[str, Any] = {"logprobs": []} if key == "text" else {}
        yield "response.content_part.added", {**at, "part": part | {key: ""}}
        for piece in pieces(part[key]):
            yield f"{name}.delta", {**at, "delta": piece, **extra}
        yield f"{name}.done", {**at, key: part[key], **extra}
        yield "response.content_part.done", {**at, "part": part}


def _arguments(item: dict[str, Any], place: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    at = {"item_id": item["id"], **place}
    yield "response.function_call_arguments.delta", {**at, "delta": item["arguments"]}
    yield "response.function_call_arguments.done", {**at, "name": item["name"], "arguments": item["arguments"]}


def _opening(request: Request, identifier: str) -> dict[str, Any]:
    return {
        "id": f"resp_{identifier}",
        "object": "response",
        "created_at": _CREATED,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": request.body.get("instructions"),
        "metadata": request.body.get("metadata") or {},
        "model": request.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": request.body.get("previous_response_id"),
        "temperature": request.body.get("temperature"),
        "tool_choice": request.body.get("tool_choice", "auto"),
        "tools": request.body.get("tools") or [],
        "top_p": None,
        "usage": None,
    }


def _output(reply: Reply, identifier: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if reply.refusal is not None:
        parts.append({"type": "refusal", "refusal": reply.refusal})
    elif reply.content is not None:
        parts.append({"type": "output_text", "text": reply.content, "annotations": [], "logprobs": []})
    message = {"id": f"msg_{identifier}", "type": "message", "status": "completed", "role": "assistant"}
    calls = [
        {
            "id": f"fc_{identifier}_{index}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for index, call in enumerate(reply.tool_calls)
    ]
    spoken = not calls or reply.content or reply.refusal
    return [*([message | {"content": parts}] if spoken else []), *calls]


def _usage(request: Request, reply: Reply) -> dict[str, Any]:
    asked, answered = count(request.text), answered_tokens(reply)
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + answered,
    }
