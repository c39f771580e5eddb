"""Chat completions: the body of one, and the same as a stream of chunks."""

import json
from collections.abc import Iterator
from typing import Any

from .answers import Reply, Request, ToolCall
from .tokens import count, pieces

_CREATED = 1_750_000_000


def completion(request: Request, reply: Reply, identifier: str) -> dict[str, Any]:
    """Return a chat completion with as many choices as were asked for."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.content, "refusal": reply.refusal}
    if reply.tool_calls:
        message["tool_calls"] = [_tool_call(call) for call in reply.tool_calls]
    return {
        **_head(request, identifier, "chat.completion"),
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
            for index in range(_choices(request))
        ],
        "usage": _usage(request, reply),
    }


def chunks(request: Request, reply: Reply, identifier: str) -> Iterator[str]:
    """Yield a chat completion as server-sent events, the last one with the usage when it was asked for."""
    counted = bool((request.body.get("stream_options") or {}).get("include_usage"))
    head = _head(request, identifier, "chat.completion.chunk") | ({"usage": None} if counted else {})
    for index in range(_choices(request)):
        for delta in _deltas(reply):
            yield _event({**head, "choices": [_choice(index, delta, None)]})
        yield _event({**head, "choices": [_choice(index, {}, _finish(reply))]})
    if counted:
        yield _event({**head, "choices": [], "usage": _usage(request, reply)})
    yield "data: [DONE]\n\n"


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if reply.content is not None else None, "refusal": None}
    for piece in pieces(reply.content or ""):
        yield {"content": piece}
    for piece in pieces(reply.refusal or ""):
        yield {"refusal": piece}
    for index, call in enumerate(reply.tool_calls):
        opening = _tool_call(call) | {"function": {"name": call.name, "arguments": ""}}
        yield {"tool_calls": [{"index": index, **opening}]}
        half = len(call.arguments) // 2
        for part in (call.arguments[:half], call.arguments[half:]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def _choice(index: int, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _head(request: Request, identifier: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{identifier}", "object": kind, "created": _CREATED, "model": request.model}


def _choices(request: Request) -> int:
    return int(request.body.get("n") or 1)


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.tool_calls and reply.finish_reason == "stop" else reply.finish_reason


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _usage(request: Request, reply: Reply) -> dict[str, int]:
    asked, answered = count(request.text), answered_tokens(reply)
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def answered_tokens(reply: Reply) -> int:
    """Return the tokens of all that a reply says."""
    return count((reply.content or "") + (reply.refusal or "") + "".join(call.arguments for call in reply.tool_calls))


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"
