"""The two ways to ask a model, chat completions and responses: where each takes its messages and says its answer."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, cast

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from .injection import into_instructions, into_messages
from .turns import Asked, asked_in


class Said(NamedTuple):
    """What an answer, or one piece of a streamed one, says; ``id`` is the response's."""

    text: str = ""
    id: str | None = None


class Api(Protocol):
    """One way to ask a model."""

    def settled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters so that they can be read more than once."""
        ...

    def asked(self, given: Mapping[str, Any]) -> Asked:
        """Return what the caller says."""
        ...

    def previous(self, given: Mapping[str, Any]) -> str | None:
        """Return the id of the response that this one goes on from."""
        ...

    def injected(self, given: Mapping[str, Any], block: str) -> dict[str, Any]:
        """Return the parameters with memory put before the model; those given are left as they are."""
        ...

    def said(self, answer: object) -> Said:
        """Return what a whole answer, a chunk or an event says; nothing for what is none of these."""
        ...


class ChatApi:
    """``chat.completions``; of several choices the first is the answer."""

    def settled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters with the messages as a list."""
        return _listed(given, "messages")

    def asked(self, given: Mapping[str, Any]) -> Asked:
        """Return what the messages say."""
        return asked_in(given.get("messages"))

    def previous(self, given: Mapping[str, Any]) -> str | None:
        """Return None: each request holds the whole conversation."""
        del given
        return None

    def injected(self, given: Mapping[str, Any], block: str) -> dict[str, Any]:
        """Put the block into the system message."""
        return {**given, "messages": into_messages(given["messages"], block)}

    def said(self, answer: object) -> Said:
        """Return the first choice's text."""
        if isinstance(answer, ChatCompletion):
            return Said(answer.choices[0].message.content or "" if answer.choices else "")
        if isinstance(answer, ChatCompletionChunk):
            return Said("".join(choice.delta.content or "" for choice in answer.choices if choice.index == 0))
        return Said()


class ResponsesApi:
    """``responses``; the instructions are of this call alone, so that no recalled text enters a stored conversation."""

    def settled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters with the input as a string or a list."""
        return _listed(given, "input")

    def asked(self, given: Mapping[str, Any]) -> Asked:
        """Return what the input says."""
        return asked_in(given.get("input"))

    def previous(self, given: Mapping[str, Any]) -> str | None:
        """Return the id of the response whose conversation goes on."""
        previous = given.get("previous_response_id")
        return previous if isinstance(previous, str) else None

    def injected(self, given: Mapping[str, Any], block: str) -> dict[str, Any]:
        """Put the block behind the instructions."""
        return {**given, "instructions": into_instructions(given.get("instructions"), block)}

    def said(self, answer: object) -> Said:
        """Return the text of a response, or what an event adds to it."""
        if isinstance(answer, Response):
            return Said(answer.output_text, answer.id)
        kind = getattr(answer, "type", None)
        if kind == "response.created":
            return Said(id=cast("Any", answer).response.id)
        return Said(cast("Any", answer).delta if kind == "response.output_text.delta" else "")


def _listed(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    iterator = isinstance(value, Iterable) and not isinstance(value, str | list | tuple | Mapping)
    return {**given, name: list(cast("Iterable[object]", value))} if iterator else dict(given)


CHAT = ChatApi()
RESPONSES = ResponsesApi()
