"""A language model of the tests' own: an OpenAI-compatible HTTP server whose answers, and faults, a test writes.

with ScriptedLLM() as llm:
    llm.answer({"items": []})                       # every request, from now on
    llm.queue(rate_limited(1), "the second answer")  # the next two, in turn, before that
    client = OpenAI(base_url=llm.url, api_key="any", max_retries=0)
    assert len(llm.requests) == 0
"""

from .answers import (
    Answer,
    Dropped,
    Failure,
    Reply,
    Request,
    Script,
    ToolCall,
    Vectors,
    empty,
    filtered,
    rate_limited,
    refused,
    server_error,
    truncated,
    unauthorized,
)
from .embeddings import vector
from .server import ScriptedLLM

__all__ = [
    "Answer",
    "Dropped",
    "Failure",
    "Reply",
    "Request",
    "Script",
    "ScriptedLLM",
    "ToolCall",
    "Vectors",
    "empty",
    "filtered",
    "rate_limited",
    "refused",
    "server_error",
    "truncated",
    "unauthorized",
    "vector",
]
