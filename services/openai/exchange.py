"""One call of a model with memory around it: asked, recalled, said; then what of it is written to memory."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from memstream.events.messages import MAX_MESSAGE_CHARACTERS
from memstream.services.asynchronous import AsyncUser
from memstream.services.reads import Retrieved

from .apis import Api
from .injection import memory_block
from .turns import Asked

_MAX_NAME = 200
# What ``with_raw_response`` marks a call with; "stream" means that nobody has read the body yet.
_RAW = "X-Stainless-Raw-Response"
_REMEMBERED = 512


@dataclass
class Exchange:
    """A call in work; ``given`` are the caller's parameters, which nobody changes."""

    api: Api
    user: AsyncUser
    session: str | None
    given: dict[str, Any]
    asked: Asked
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    recalled: Retrieved | None = None
    response_id: str | None = None
    _pieces: list[str] = field(default_factory=list[str])

    def params(self, *, cite: bool) -> dict[str, Any]:
        """Return what the model's call takes: the caller's parameters, with what was recalled."""
        if self.recalled is None or not self.recalled.context:
            return self.given
        return self.api.injected(self.given, memory_block(self.recalled.context, cite=cite))

    def hear(self, answer: object) -> None:
        """Take in a whole answer, or one piece of a streamed one."""
        said = self.api.said(answer)
        self._pieces.append(said.text)
        self.response_id = said.id or self.response_id

    def hear_whole(self, answer: Any) -> None:
        """Take in an answer that is no stream; a raw one is parsed, as its caller will, unless it is to be streamed."""
        headers = self.given.get("extra_headers") or {}
        raw = headers.get(_RAW) == "true" and not self.given.get("stream")
        self.hear(answer.parse() if raw else answer)

    @property
    def answer(self) -> str:
        """What the model has said so far."""
        return "".join(self._pieces).encode("utf-8", "replace").decode()

    def messages(self) -> list[dict[str, str]]:
        """Return what was said for the first time: the user's new messages and the answer, no recalled text."""
        messages = [part for turn in self.asked.new for part in _messages("user", turn.content, self.began, turn.name)]
        return [*messages, *_messages("assistant", self.answer, datetime.now(UTC))]


class Recent:
    """The last retrievals, so that the calls of one tool loop ask memory once; safe to use from threads."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, Retrieved] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, exchange: Exchange) -> Retrieved | None:
        """Return what was recalled for the question that this call, behind a tool's answer, is still about."""
        previous = exchange.api.previous(exchange.given)
        asked = exchange.asked
        with self._lock:
            if asked.continues:
                return self._found.get(_key(exchange, asked.key))
            return self._found.get(_key(exchange, previous)) if previous and not asked.question else None

    def note(self, exchange: Exchange) -> None:
        """Keep what was recalled, under the question and under the response's id."""
        if exchange.recalled is None:
            return
        with self._lock:
            for name in filter(None, (exchange.asked.key, exchange.response_id)):
                key = _key(exchange, name)
                self._found[key] = exchange.recalled
                self._found.move_to_end(key)
            while len(self._found) > _REMEMBERED:
                self._found.popitem(last=False)


def _key(exchange: Exchange, name: str) -> str:
    return f"{exchange.user.scope.key}/{exchange.session or ''}/{name}"


def _messages(role: str, text: str, time: datetime, name: str | None = None) -> Iterator[dict[str, str]]:
    """Yield a text as messages, cut where one may not be longer."""
    named = {"name": name[:_MAX_NAME]} if name else {}
    for part in _cut(text):
        if part.strip():
            yield {"role": role, "content": part, "time": time.isoformat(), **named}


def _cut(text: str) -> Iterable[str]:
    return (text[start : start + MAX_MESSAGE_CHARACTERS] for start in range(0, len(text), MAX_MESSAGE_CHARACTERS))
