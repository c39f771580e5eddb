"""Chats with a wrapped client, and what memory holds of them."""

from typing import Any

from openai import OpenAI

from memstream import Memory
from memstream.openai import MemoryOpenAI

FACT = "I moved to Lisbon last spring, into a flat above a bakery."
QUESTION = "Which city did I move to last spring?"
# Takes a while to write.
LONG = "It rained. " * 200_000
TOOLS: list[Any] = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}]


def chat(client: OpenAI, *said: str, **options: Any) -> Any:
    """Call the model with user messages."""
    messages: list[Any] = [{"role": "user", "content": text} for text in said]
    return client.chat.completions.create(model="m", messages=messages, **options)


def settled(client: MemoryOpenAI, memory: Memory, user: str) -> list[str]:
    """Wait until everything said is memory; return the items' texts."""
    client.memory.flush(20)
    memory.user(user).settle()
    return [item.text for item in memory.user(user).items()]


def counted(memory: Memory, user: str, event: str) -> int:
    return memory.user(user).status().events.get(event, 0)
