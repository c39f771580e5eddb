"""Asking a language model: one call, one validated answer, and a rule for everything that can go wrong.

Retries, Retry-After and back-off are the openai package's own. What it cannot know is here: which structured output
the server has, and what an answer is worth.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from openai import (
    AsyncOpenAI,
    BadRequestError,
    NotFoundError,
    OpenAIError,
    UnprocessableEntityError,
)
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from memstream.events.errors import ModelRequired
from memstream.events.payloads import TaskUsage
from memstream.events.subjects import Scope
from memstream.projections.words import count_tokens

from .failures import Declined, Misbehaved, TooLong, Truncated
from .limits import NoLimits, SpendingLimits
from .profiles import CHAT_TASKS, Mode, Profile, Task
from .refusals import is_missing_model, is_too_long, refused_option, unavailable
from .structured import Unreadable, parse, strict_schema

logger = logging.getLogger("memstream.models")
ValueT = TypeVar("ValueT", bound=BaseModel)
Message = Mapping[str, Any]
_MODES: Final[tuple[Mode, ...]] = ("json_schema", "json_object", "text")
_NO_KEY = "no-key"
_THOUGHTS_TOKENS = 8_000


class Answer(NamedTuple, Generic[ValueT]):
    """What a model said, validated, and what it cost with all repairs."""

    value: ValueT
    usage: TaskUsage


class _Reply(NamedTuple):
    text: str
    tokens_in: int
    tokens_out: int


class Models:
    """The models of one process, by what they do."""

    def __init__(self, profiles: Mapping[Task, Profile], limits: SpendingLimits | None = None) -> None:
        self.profiles = dict(profiles)
        self.limits: SpendingLimits = limits or NoLimits()
        self._clients: dict[tuple[str, str | None], AsyncOpenAI] = {}
        # What a server has by way of structured output, found out with the first call.
        self._modes: dict[tuple[str, str], Mode] = {}
        # Options that a model has refused: those that think before they answer take neither of two.
        self._refused: dict[tuple[str, str], set[str]] = {}

    @property
    def chats(self) -> bool:
        """Tell whether a chat model is there for every step of memory."""
        return all(task in self.profiles for task in CHAT_TASKS)

    def mode(self, task: Task) -> Mode | None:
        """Return the structured output that a task's server is known to have; None before its first answer."""
        profile = self._profile(task)
        return profile.structured or self._modes.get((profile.endpoint, profile.model))

    def client(self, task: Task) -> AsyncOpenAI:
        """Return the client of a task's endpoint; raise ModelRequired when no model is named for the task."""
        profile = self._profile(task)
        key = (profile.endpoint, profile.key)
        if key not in self._clients:
            # A server of one's own asks for no key, and the package insists on one.
            self._clients[key] = AsyncOpenAI(
                base_url=profile.endpoint,
                api_key=profile.key or _NO_KEY,
                timeout=profile.timeout,
                max_retries=profile.retries,
            )
        return self._clients[key]

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
        await self.limits.stop()

    async def ask(
        self,
        task: Task,
        scope: Scope,
        system: str,
        user: str,
        kind: type[ValueT],
        *,
        max_tokens: int = 4_000,
        check: Callable[[ValueT], str | None] | None = None,
    ) -> Answer[ValueT]:
        """Return the validated answer to one prompt; one that cannot be read is asked for once more.

        ``check`` may find fault with an answer, once: what comes back then is the caller's to sort out.

        Raises ModelUnavailable (try later), Truncated and TooLong (ask for less), Declined and Misbehaved (this
        model will not say it), LimitReached; each failure carries what it cost.
        """
        self.limits.check(scope)
        messages: list[Message] = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        asked = _Asked(task, kind, max_tokens, messages, check or _content)
        started = time.perf_counter()
        spent: list[_Reply] = []
        try:
            value = await self._understood(asked, spent)
        except (Declined, Misbehaved, Truncated, TooLong) as failure:
            failure.usage = self._usage(task, spent, started)
            raise
        return Answer(value, self._usage(task, spent, started))

    async def _understood(self, asked: "_Asked[ValueT]", spent: list[_Reply]) -> ValueT:
        reply = await self._send(asked, asked.messages, spent)
        value: ValueT | None = None
        try:
            value = parse(reply.text, asked.kind)
            fault = asked.check(value)
        except Unreadable as error:
            fault = str(error)
        if value is not None and fault is None:
            return value
        logger.info("%s: an answer cannot be used (%s); asking once more", asked.task, fault)
        repair = f"That cannot be used: {fault}. Answer again, with the complete JSON object and nothing else."
        again: list[Message] = [{"role": "assistant", "content": reply.text}] if reply.text.strip() else []
        reply = await self._send(asked, [*asked.messages, *again, {"role": "user", "content": repair}], spent)
        try:
            return parse(reply.text, asked.kind)
        except Unreadable as error:
            if value is not None:
                return value
            raise Misbehaved(f"the model's answer cannot be used, twice: {error}") from error

    async def _send(self, asked: "_Asked[Any]", messages: Sequence[Message], spent: list[_Reply]) -> _Reply:
        profile = self._profile(asked.task)
        known = self.mode(asked.task)
        for mode in _MODES if known is None else (known,):
            try:
                answered = await self._create(profile, asked, messages, mode)
            except (BadRequestError, UnprocessableEntityError, NotFoundError) as error:
                if is_too_long(error):
                    raise TooLong(f"the prompt is too long for {profile.model}: {error.message}") from error
                if known is not None or mode == _MODES[-1] or is_missing_model(error):
                    raise unavailable(error, profile) from error
                logger.info("%s at %s has no %s output: %s", profile.model, profile.endpoint, mode, error.message)
                continue
            except OpenAIError as error:
                raise unavailable(error, profile) from error
            self._modes[profile.endpoint, profile.model] = mode
            return _read(answered, messages, spent)
        raise AssertionError("a mode is always tried")

    async def _create(
        self, profile: Profile, asked: "_Asked[Any]", messages: Sequence[Message], mode: Mode
    ) -> ChatCompletion:
        options: dict[str, Any] = {"model": profile.model, "messages": list(messages), "max_tokens": asked.max_tokens}
        if mode == "json_schema":
            schema = {"name": asked.kind.__name__.strip("_"), "strict": True, "schema": strict_schema(asked.kind)}
            options["response_format"] = {"type": "json_schema", "json_schema": schema}
        else:
            options["messages"] = [*messages[:-1], {**messages[-1], "content": _with_shape(messages[-1], asked.kind)}]
        if mode == "json_object":
            options["response_format"] = {"type": "json_object"}
        return await self.complete(asked.task, options)

    async def complete(self, task: Task, options: Mapping[str, Any]) -> ChatCompletion:
        """Ask a task's model for a chat completion with ``max_tokens``, as it takes them; raises OpenAIError."""
        profile = self._profile(task)
        refused = self._refused.setdefault((profile.endpoint, profile.model), set())
        while True:
            try:
                told = _without(refused, options)
                return cast("ChatCompletion", await self.client(task).chat.completions.create(**told))
            except BadRequestError as error:
                option = refused_option(error)
                if option is None or option in refused:
                    raise
                refused.add(option)

    def _profile(self, task: Task) -> Profile:
        if task not in self.profiles:
            raise ModelRequired(
                f"no model is configured to {task}: set MEMSTREAM_LLM_MODEL, or name one in the models file"
            )
        return self.profiles[task]

    def _usage(self, task: Task, spent: Sequence[_Reply], started: float) -> TaskUsage:
        return TaskUsage(
            task=task,
            model=self._profile(task).model,
            calls=len(spent),
            tokens_in=sum(one.tokens_in for one in spent),
            tokens_out=sum(one.tokens_out for one in spent),
            seconds=round(time.perf_counter() - started, 6),
        )


class _Asked(NamedTuple, Generic[ValueT]):
    task: Task
    kind: type[ValueT]
    max_tokens: int
    messages: list[Message]
    check: Callable[[ValueT], str | None]


def _content(value: BaseModel) -> str | None:
    """Find no fault with anything."""
    del value
    return None


def _without(refused: set[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call in the words that a model takes."""
    told = {"temperature": 0, **options}
    if "temperature" in refused:
        del told["temperature"]
    if "max_tokens" in refused:
        # Its thoughts count as well.
        told["max_completion_tokens"] = told.pop("max_tokens") + _THOUGHTS_TOKENS
    return told


def _with_shape(message: Message, kind: type[BaseModel]) -> str:
    """Return a message that says itself what a server without schemas is to answer."""
    return (
        f"{message['content']}\n\nAnswer with one JSON object of this schema, and nothing else:\n{strict_schema(kind)}"
    )


def _read(answered: ChatCompletion, messages: Sequence[Message], spent: list[_Reply]) -> _Reply:
    choice = answered.choices[0] if answered.choices else None
    text = (choice.message.content if choice else None) or ""
    usage = answered.usage
    reply = _Reply(
        text,
        usage.prompt_tokens if usage else sum(count_tokens(str(one["content"])) for one in messages),
        usage.completion_tokens if usage else count_tokens(text),
    )
    spent.append(reply)
    refusal = choice.message.refusal if choice else None
    if refusal or (choice and choice.finish_reason == "content_filter"):
        raise Declined(f"the model declined: {refusal or 'its content filter stopped the answer'}")
    if choice and choice.finish_reason == "length":
        raise Truncated("the model's answer was cut off at its limit of tokens")
    return reply
