"""``wrap``: the two lines that give a client memory."""

from typing import Literal, get_args, overload

from openai import AsyncOpenAI, OpenAI
from pydantic import ValidationError

from memstream.events.errors import InvalidInput
from memstream.services.asynchronous import AsyncMemory
from memstream.services.reads import Ask
from memstream.services.synchronous import Memory

from .async_clients import AsyncClientMemory, AsyncMemoryOpenAI
from .background import Background
from .clients import ClientMemory, MemoryOpenAI
from .dressing import class_over, dressed
from .failures import OnError
from .recollection import Name, Options, Recollection


@overload
def wrap(
    client: OpenAI,
    *,
    memory: Memory,
    user: Name | None = None,
    session: Name | None = None,
    agent: str | None = None,
    method: Literal["rag", "llm"] = "rag",
    top_k: int = 10,
    max_tokens: int = 2_000,
    timeout: float = 5.0,
    cite: bool = False,
    memorize: bool = True,
    gather: int = 1,
    idle: float = 60.0,
    on_error: Literal["log", "raise"] = "log",
) -> MemoryOpenAI: ...


@overload
def wrap(
    client: AsyncOpenAI,
    *,
    memory: AsyncMemory | Memory,
    user: Name | None = None,
    session: Name | None = None,
    agent: str | None = None,
    method: Literal["rag", "llm"] = "rag",
    top_k: int = 10,
    max_tokens: int = 2_000,
    timeout: float = 5.0,
    cite: bool = False,
    memorize: bool = True,
    gather: int = 1,
    idle: float = 60.0,
    on_error: Literal["log", "raise"] = "log",
) -> AsyncMemoryOpenAI: ...


def wrap(
    client: OpenAI | AsyncOpenAI,
    *,
    memory: AsyncMemory | Memory,
    user: Name | None = None,
    session: Name | None = None,
    agent: str | None = None,
    method: Literal["rag", "llm"] = "rag",
    top_k: int = 10,
    max_tokens: int = 2_000,
    timeout: float = 5.0,
    cite: bool = False,
    memorize: bool = True,
    gather: int = 1,
    idle: float = 60.0,
    on_error: Literal["log", "raise"] = "log",
) -> MemoryOpenAI | AsyncMemoryOpenAI:
    """Return a client of the same type whose chat completions and responses remember; ``client`` stays as it is.

    Before each call memory is asked what the user's last message is about, and what it holds (at most ``max_tokens``
    of ``top_k`` hits a tier) is put into the system prompt of that call. After it the user's new messages and the
    answer are memorized in the background, and which items the answer used is recorded as feedback. Streams pass
    through chunk by chunk and are memorized when they end.

    ``user`` and ``session`` are names, or functions that return them for each call; ``memory_user=`` and
    ``memory_session=`` of a call go first. ``cite`` asks the model to cite items as [^id]. ``memorize=False`` only
    reads. ``gather`` exchanges of a session are memorized as one conversation, sooner after ``idle`` seconds without
    another; until then they are in this process alone, and neither recalled nor safe from its crash.

    Memory that fails, or does not answer within ``timeout`` seconds, never keeps the model from answering: it is
    logged and counted (``client.memory.failures``), or raised with ``on_error="raise"``: a retrieval's error by the
    call, one from the background by ``client.memory.flush()``. Raises InvalidInput for options that cannot work.
    """
    _check_kinds(client, memory)
    options = Options(user, session, agent, method, top_k, max_tokens, timeout, cite, memorize, gather, idle, on_error)
    _check(options)
    home = memory.asynchronous if isinstance(memory, Memory) else memory
    recollection = Recollection(home, options, Background.of(memory).gathering)
    if isinstance(client, AsyncOpenAI):
        cls = class_over(AsyncMemoryOpenAI, client)
        return dressed(client, cls, AsyncClientMemory(memory, recollection))
    assert isinstance(memory, Memory)
    return dressed(client, class_over(MemoryOpenAI, client), ClientMemory(memory, recollection))


def _check_kinds(client: object, memory: object) -> None:
    if isinstance(client, MemoryOpenAI | AsyncMemoryOpenAI):
        raise InvalidInput("this client has a memory already: use client.with_memory(user=…), or wrap the original")
    if not isinstance(client, OpenAI | AsyncOpenAI):
        raise InvalidInput(f"wrap takes an OpenAI or AsyncOpenAI client, got {type(client).__name__}")
    if not isinstance(memory, Memory | AsyncMemory):
        raise InvalidInput(
            f"memory is {type(memory).__name__}: give Memory.open(…), Memory.connect(…), or the same of AsyncMemory"
        )
    if isinstance(client, OpenAI) and isinstance(memory, AsyncMemory):
        raise InvalidInput("an OpenAI client takes a Memory; AsyncMemory goes with AsyncOpenAI")


def _check(options: Options) -> None:
    for name, seconds in (("timeout", options.timeout), ("idle", options.idle)):
        if not seconds > 0:
            raise InvalidInput(f"{name} is {seconds!r}: give seconds, more than 0")
    if options.gather < 1:
        raise InvalidInput(f"gather is {options.gather!r}: give a number of exchanges, 1 or more")
    if options.on_error not in get_args(OnError):
        raise InvalidInput(f"on_error is {options.on_error!r}: give 'log' or 'raise'")
    asking = {"method": options.method, "top_k": options.top_k, "max_tokens": options.max_tokens}
    try:
        Ask.model_validate({"tenant": "t", "user": "u", "query": "q", **asking})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise InvalidInput(f"{detail['loc'][0]}: {detail['msg']} (got {detail.get('input')!r:.80})") from error
