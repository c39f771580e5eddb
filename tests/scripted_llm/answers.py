"""What a test may script: what a request said, and what it gets: a reply, a failure, or a cut connection."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True)
class Request:
    """One request as it came; ``concurrent`` counts those in work at that moment, itself included."""

    path: str
    body: dict[str, Any]
    headers: Mapping[str, str]
    time: float
    concurrent: int

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.body.get("model", ""))

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages of a chat completion, or the input of a response as messages, its instructions first."""
        if "messages" in self.body:
            return list(self.body["messages"])
        given = self.body.get("input", "")
        turns = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
        instructions = self.body.get("instructions")
        return [{"role": "system", "content": instructions}, *turns] if instructions else turns

    @property
    def text(self) -> str:
        """All that the model reads: the messages' texts, one below the other."""
        return "\n".join(text_of(message) for message in self.messages)

    @property
    def structure(self) -> str:
        """How the answer is to be structured: ``json_schema``, ``json_object`` or ``text``."""
        wanted = self.body.get("response_format") or (self.body.get("text") or {}).get("format") or {}
        return str(wanted.get("type", "text"))


def text_of(message: Mapping[str, Any]) -> str:
    """Return a message's text, whether it is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content or ())


@dataclass(frozen=True)
class ToolCall:
    """A call of a function that the reply asks for; ``arguments`` is JSON, or what a model takes for it."""

    name: str
    arguments: str = "{}"
    id: str = "call_1"


@dataclass(frozen=True)
class Reply:
    """An answer with status 200; ``delay`` is in seconds, the rest as in a chat completion's choice."""

    content: str | None = ""
    finish_reason: FinishReason = "stop"
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    delay: float = 0.0


@dataclass(frozen=True)
class Failure:
    """An answer with an error's status and the JSON body that OpenAI-compatible servers give it."""

    status: int
    message: str = "scripted failure"
    code: str | None = None
    type: str = "server_error"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    delay: float = 0.0


@dataclass(frozen=True)
class Dropped:
    """The connection is closed after ``pieces`` pieces of the answer ``content``, before its end."""

    content: str = "This answer never comes to its end."
    pieces: int = 1
    delay: float = 0.0


@dataclass(frozen=True)
class Vectors:
    """Embeddings; ``dimension`` other than the server's is one of the faults, so are fewer vectors than inputs."""

    dimension: int | None = None
    missing: int = 0
    delay: float = 0.0


Answer = Reply | Failure | Dropped | Vectors
# A string is the content, anything else that is no answer is serialised into it as JSON.
Scripted = Answer | str | Mapping[str, Any] | Sequence[Any]
Script = Callable[[Request], Scripted]


def answer_of(scripted: Scripted) -> Answer:
    """Return what a script returned as an answer."""
    if isinstance(scripted, Answer):
        return scripted
    return Reply(scripted if isinstance(scripted, str) else json.dumps(scripted, ensure_ascii=False))


def rate_limited(retry_after: float | None = None, delay: float = 0.0) -> Failure:
    """Return a 429, with Retry-After in seconds when given."""
    headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
    return Failure(429, "Rate limit reached", "rate_limit_exceeded", "requests", headers, delay)


def server_error(status: int = 500, delay: float = 0.0) -> Failure:
    """Return a 5xx."""
    return Failure(status, "The server had an error while processing your request", delay=delay)


def unauthorized() -> Failure:
    """Return the 401 for a wrong key."""
    return Failure(401, "Incorrect API key provided", "invalid_api_key", "invalid_request_error")


def unknown_model(name: str) -> Failure:
    """Return the 404 for a model that is not there."""
    return Failure(404, f"The model `{name}` does not exist", "model_not_found", "invalid_request_error")


def truncated(value: object, keep: float = 0.5) -> Reply:
    """Return the first part of a value's JSON, as a model gives it that met its limit of tokens."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Reply(text[: int(len(text) * keep)], finish_reason="length")


def refused(words: str = "I can't help with that.") -> Reply:
    """Return a refusal: no content, the reason in its own field."""
    return Reply(None, refusal=words)


def empty() -> Reply:
    """Return an answer that says nothing."""
    return Reply("")


def filtered(content: str = "") -> Reply:
    """Return an answer that a content filter cut off."""
    return Reply(content, finish_reason="content_filter")
