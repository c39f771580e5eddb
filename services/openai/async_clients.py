"""``AsyncMemoryOpenAI``: an ``AsyncOpenAI`` client whose chat completions and responses remember."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Self, cast

from openai import AsyncOpenAI, AsyncStream
from openai.resources.chat import AsyncChat, AsyncCompletions
from openai.resources.responses import AsyncResponses

from memstream.services.asynchronous import AsyncMemory
from memstream.services.synchronous import Memory

from .apis import CHAT, RESPONSES, Api
from .background import Background
from .dressing import dressed
from .exchange import Exchange
from .failures import Step
from .recollection import Name, Recollection
from .streams import AsyncHeardStream


class AsyncClientMemory:
    """The memory of an asyncio client: counts of what failed, and ``flush``."""

    def __init__(self, memory: AsyncMemory | Memory, recollection: Recollection) -> None:
        self._memory = memory
        self._recollection = recollection
        self._background = Background.of(memory)

    @property
    def failures(self) -> Mapping[Step, int]:
        """How often memory failed since the client was wrapped, by ``retrieve``, ``memorize`` and ``feedback``."""
        return self._recollection.failures.counts

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until all exchanges so far are in the log.

        Raises TimeoutError when that takes longer, and with ``on_error="raise"`` the first error since the last flush.
        """
        if not (isinstance(self._memory, Memory) and self._memory.closed):
            async with asyncio.timeout(timeout):
                await self._at_home(self._background.drain())
        self._recollection.failures.raise_kept()

    def named(self, user: Name | None, session: Name | None) -> "AsyncClientMemory":
        """Return the same memory of another user or session."""
        return AsyncClientMemory(self._memory, self._recollection.named(user, session))

    async def call(self, api: Api, ask: Callable[..., Awaitable[Any]], given: dict[str, Any]) -> Any:
        """Recall, ask the model, and have the exchange memorized in the background."""
        exchange = self._recollection.exchange(api, given)
        with self._recollection.failures.contained("retrieve"):
            await self._at_home(self._recollection.recall(exchange))
        answer = await ask(**exchange.params(cite=self._recollection.options.cite))
        if isinstance(answer, AsyncStream):
            stream: AsyncStream[Any] = answer
            return AsyncHeardStream(stream, exchange.hear, lambda: self._over(exchange))
        with self._recollection.failures.contained("memorize"):
            exchange.hear_whole(answer)
        self._over(exchange)
        return answer

    async def _at_home(self, work: Coroutine[Any, Any, None]) -> None:
        """Await in the loop that the memory lives in: this one, or that of a ``Memory``'s thread."""
        if isinstance(self._memory, Memory):
            await asyncio.wrap_future(self._memory.start(work))
        else:
            await work

    def _over(self, exchange: Exchange) -> None:
        self._recollection.note(exchange)
        with self._recollection.failures.contained("memorize"):
            work = partial(self._recollection.remember, exchange)
            if isinstance(self._memory, Memory):
                self._memory.start(self._background.started(work))
            else:
                self._background.start(work)


class AsyncMemoryOpenAI(AsyncOpenAI):
    """An ``AsyncOpenAI`` client with memory; made by ``wrap``. ``memory`` has ``flush`` and the counts of failures."""

    memory: AsyncClientMemory

    @property
    def chat(self) -> AsyncChat:
        """Chat completions with memory."""
        return _Chat(self)

    @property
    def responses(self) -> AsyncResponses:
        """Responses with memory."""
        return _Responses(self)

    def with_memory(self, *, user: Name | None = None, session: Name | None = None) -> Self:
        """Return this client for another user, or another session."""
        return dressed(self, type(self), self.memory.named(user, session))

    def copy(self, **options: Any) -> Self:
        """See ``AsyncOpenAI.copy``; the copy has the same memory."""
        made = super().copy(**options)
        made.memory = self.memory
        return made

    with_options = copy

    async def close(self) -> None:
        """Wait for what is being memorized, then close the connections, which the wrapped client shares."""
        try:
            await self.memory.flush()
        finally:
            await super().close()


def _memory_of(client: AsyncOpenAI) -> AsyncClientMemory:
    return cast("AsyncMemoryOpenAI", client).memory


class _Chat(AsyncChat):
    @property
    def completions(self) -> AsyncCompletions:
        return _Completions(self._client)


class _Completions(AsyncCompletions):
    async def create(self, **given: Any) -> Any:
        return await _memory_of(self._client).call(CHAT, super().create, given)

    async def parse(self, **given: Any) -> Any:
        return await _memory_of(self._client).call(CHAT, super().parse, given)


class _Responses(AsyncResponses):
    async def create(self, **given: Any) -> Any:
        return await _memory_of(self._client).call(RESPONSES, super().create, given)

    async def parse(self, **given: Any) -> Any:
        return await _memory_of(self._client).call(RESPONSES, super().parse, given)
