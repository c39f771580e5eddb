"""What happens around a model's call: memory is asked before it, and told after it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from memstream.events.errors import InvalidInput, Unavailable
from memstream.services.asynchronous import AsyncMemory, AsyncUser
from memstream.services.reads import Retrieved, Turn

from .apis import Api
from .exchange import Exchange, Recent
from .failures import Failures, OnError
from .gathering import Gathering, Message
from .usage import used_ids

Name = str | Callable[[], str]

# What a question needs: its end, and the turns that a pronoun may point to.
_QUESTION_CHARACTERS = 8_000
_HISTORY_TURNS = 10
_TURN_CHARACTERS = 2_000
# A write that met a restart of the service is repeated; the same bytes add nothing twice.
_PAUSES_SECONDS = (0.2, 1.0, None)
_WRITE_SECONDS = 30.0


@dataclass(frozen=True)
class Options:
    """What ``wrap`` was told; see there."""

    user: Name | None
    session: Name | None
    agent: str | None
    method: str
    top_k: int
    max_tokens: int
    timeout: float
    cite: bool
    memorize: bool
    gather: int
    idle: float
    on_error: OnError


class Recollection:
    """Asks and tells one memory as the options say. Its coroutines run in the memory's event loop."""

    def __init__(self, memory: AsyncMemory, options: Options, gathering: Gathering) -> None:
        self._memory = memory
        self._gathering = gathering
        self._recent = Recent()
        self.options = options
        self.failures = Failures(options.on_error)

    def named(self, user: Name | None, session: Name | None) -> "Recollection":
        """Return the same for another user or session; failures are counted together."""
        options = replace(self.options, user=user or self.options.user, session=session or self.options.session)
        other = Recollection(self._memory, options, self._gathering)
        other.failures, other._recent = self.failures, self._recent
        return other

    def exchange(self, api: Api, given: dict[str, Any]) -> Exchange:
        """Begin a call; raises InvalidInput when nobody says whose memory it is, InvalidScope for a bad user id."""
        own = dict(given)
        user = _resolved(own.pop("memory_user", None) or self.options.user)
        session = _resolved(own.pop("memory_session", None) or self.options.session)
        if user is None:
            raise InvalidInput("whose memory? Give user= to wrap(), or memory_user= to the call")
        settled = api.settled(own)
        return Exchange(api, self._memory.user(user), session, settled, api.asked(settled))

    async def recall(self, exchange: Exchange) -> None:
        """Ask memory; raises its errors, and Unavailable when it takes longer than ``timeout``."""
        found = self._recent.find(exchange)
        if found is None and exchange.asked.question:
            found = await self._retrieve(exchange)
        exchange.recalled = found
        self._recent.note(exchange)

    def note(self, exchange: Exchange) -> None:
        """Remember, before the next call can begin, what this one's answer was recalled for."""
        self._recent.note(exchange)

    async def remember(self, exchange: Exchange) -> None:
        """Have what was new memorized, and record which items the answer used; never raises."""
        messages = exchange.messages() if self.options.memorize else []
        if messages:
            key = (exchange.user.scope.key, exchange.session, self.options.agent)
            write = partial(self._memorize, exchange.user, exchange.session)
            self._gathering.add(key, messages, write, most=self.options.gather, idle=self.options.idle)
        with self.failures.contained("feedback"):
            await self._feed_back(exchange)

    async def _retrieve(self, exchange: Exchange) -> Retrieved:
        options = self.options
        try:
            async with asyncio.timeout(options.timeout):
                return await exchange.user.retrieve(
                    exchange.asked.question[-_QUESTION_CHARACTERS:],
                    conversation_history=_recent_turns(exchange.asked.history),
                    method=options.method,
                    top_k=options.top_k,
                    max_tokens=options.max_tokens,
                    session=exchange.session,
                    agent=options.agent,
                )
        except TimeoutError as error:
            raise Unavailable(
                f"memory did not answer within {options.timeout:g} s; give wrap() a longer timeout="
            ) from error

    async def _feed_back(self, exchange: Exchange) -> None:
        found = exchange.recalled
        used = used_ids(exchange.answer, found) if found else []
        if found and used:
            async with asyncio.timeout(_WRITE_SECONDS):
                await exchange.user.feedback(found.retrieval_id, used=used)

    async def _memorize(self, user: AsyncUser, session: str | None, messages: list[Message]) -> None:
        with self.failures.contained("memorize"):
            for pause in _PAUSES_SECONDS:
                try:
                    async with asyncio.timeout(_WRITE_SECONDS):
                        await user.memorize(
                            messages, name="chat", session=session, agent=self.options.agent, wait=False
                        )
                except Unavailable:
                    if pause is None:
                        raise
                    await asyncio.sleep(pause)
                else:
                    return


def _resolved(name: Name | None) -> str | None:
    return name() if callable(name) else name


def _recent_turns(history: Sequence[Turn]) -> list[Turn]:
    return [turn.model_copy(update={"content": turn.content[-_TURN_CHARACTERS:]}) for turn in history[-_HISTORY_TURNS:]]
