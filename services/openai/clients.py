"""``MemoryOpenAI``: an ``OpenAI`` client whose chat completions and responses remember."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self, cast

from openai import OpenAI, Stream
from openai.resources.chat import Chat, Completions
from openai.resources.responses import Responses

from memstream.services.synchronous import Memory

from .apis import CHAT, RESPONSES, Api
from .background import Background
from .dressing import dressed
from .exchange import Exchange
from .failures import Step
from .recollection import Name, Recollection
from .streams import HeardStream


class ClientMemory:
    """The memory of a client: counts of what failed, and ``flush``."""

    def __init__(self, memory: Memory, recollection: Recollection) -> None:
        self._memory = memory
        self._recollection = recollection
        self._background = Background.of(memory)

    @property
    def failures(self) -> Mapping[Step, int]:
        """How often memory failed since the client was wrapped, by ``retrieve``, ``memorize`` and ``feedback``."""
        return self._recollection.failures.counts

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all exchanges so far are in the log.

        Raises TimeoutError when that takes longer, and with ``on_error="raise"`` the first error since the last flush.
        """
        if not self._memory.closed:
            self._memory.start(self._background.drain()).result(timeout)
        self._recollection.failures.raise_kept()

    def named(self, user: Name | None, session: Name | None) -> "ClientMemory":
        """Return the same memory of another user or session."""
        return ClientMemory(self._memory, self._recollection.named(user, session))

    def call(self, api: Api, ask: Callable[..., Any], given: dict[str, Any]) -> Any:
        """Recall, ask the model, and have the exchange memorized in the background."""
        exchange = self._recollection.exchange(api, given)
        with self._recollection.failures.contained("retrieve"):
            self._memory.start(self._recollection.recall(exchange)).result()
        answer = ask(**exchange.params(cite=self._recollection.options.cite))
        if isinstance(answer, Stream):
            stream: Stream[Any] = answer
            return HeardStream(stream, exchange.hear, lambda: self._over(exchange))
        with self._recollection.failures.contained("memorize"):
            exchange.hear_whole(answer)
        self._over(exchange)
        return answer

    def _over(self, exchange: Exchange) -> None:
        self._recollection.note(exchange)
        with self._recollection.failures.contained("memorize"):
            self._memory.start(self._background.started(partial(self._recollection.remember, exchange)))


class MemoryOpenAI(OpenAI):
    """An ``OpenAI`` client with memory; made by ``wrap``. ``memory`` has ``flush`` and the counts of failures."""

    memory: ClientMemory

    @property
    def chat(self) -> Chat:
        """Chat completions with memory."""
        return _Chat(self)

    @property
    def responses(self) -> Responses:
        """Responses with memory."""
        return _Responses(self)

    def with_memory(self, *, user: Name | None = None, session: Name | None = None) -> Self:
        """Return this client for another user, or another session."""
        return dressed(self, type(self), self.memory.named(user, session))

    def copy(self, **options: Any) -> Self:
        """See ``OpenAI.copy``; the copy has the same memory."""
        made = super().copy(**options)
        made.memory = self.memory
        return made

    with_options = copy

    def close(self) -> None:
        """Wait for what is being memorized, then close the connections, which the wrapped client shares."""
        try:
            self.memory.flush()
        finally:
            super().close()


def _memory_of(client: OpenAI) -> ClientMemory:
    return cast("MemoryOpenAI", client).memory


class _Chat(Chat):
    @property
    def completions(self) -> Completions:
        return _Completions(self._client)


class _Completions(Completions):
    def create(self, **given: Any) -> Any:
        return _memory_of(self._client).call(CHAT, super().create, given)

    def parse(self, **given: Any) -> Any:
        return _memory_of(self._client).call(CHAT, super().parse, given)


class _Responses(Responses):
    def create(self, **given: Any) -> Any:
        return _memory_of(self._client).call(RESPONSES, super().create, given)

    def parse(self, **given: Any) -> Any:
        return _memory_of(self._client).call(RESPONSES, super().parse, given)
