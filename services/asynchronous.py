"""``AsyncMemory``: the public face for asyncio programs; ``Memory`` is the same for everybody else."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from pydantic import ValidationError

from memstream.events.errors import InvalidInput, MemstreamError
from memstream.events.payloads import FeedbackGivenData
from memstream.events.publisher import Labels
from memstream.events.subjects import Scope
from memstream.projections.models import Category, CategoryFile, Counts, Item, Lineage, MemoryDiff, Resource, Segment

from . import reads
from .backend import Backend
from .inputs import Content, opened
from .operations import Operation, ResultT, Told
from .reads import Retrieved, Turn
from .results import EventView, FeedbackReceipt, Memorized, Status

if TYPE_CHECKING:
    from .protocols import Embedder, Extractor
    from .settings import Settings

HistoryLike = Sequence[Mapping[str, Any] | Turn]
# A past moment: a log position, or a time with its zone.
When = int | datetime


class AsyncMemory:
    """A memory: open one in this process, or connect to a service. An async context manager."""

    def __init__(self, backend: Backend, stack: AsyncExitStack, tenant: str) -> None:
        self._backend = backend
        self._stack = stack
        self._tenant = tenant

    @classmethod
    async def open(
        cls,
        data_dir: str | PathLike[str] = "data",
        *,
        nats_url: str | None = None,
        tenant: str = "default",
        embedder: "Embedder | None" = None,
        extractor: "Extractor | None" = None,
        settings: "Settings | None" = None,
    ) -> Self:
        """Open a memory in this process: server, consumers and stores in ``data_dir``.

        With ``nats_url`` the log is on that server and only the projections are in ``data_dir``. ``embedder`` and
        ``extractor`` (the protocols of ``memstream.services.protocols``) take the place of the local ones; the same
        embedder has to be given each time. ``settings`` names language models, ceilings and the like; without them the
        environment does (``MEMSTREAM_…``). Raises DataDirectoryInUse when another process has it open,
        LogUnavailable when the server does not answer.
        """
        with _explained("Memory.open", "server"):
            from .bootstrap import run  # noqa: PLC0415 - loads the databases, which a client over HTTP never needs
            from .settings import Settings  # noqa: PLC0415 - a client does not wait for pydantic-settings

        stack = AsyncExitStack()
        told: dict[str, Any] = {"data_dir": Path(data_dir), "nats_url": nats_url, "tenant": tenant}
        settings = Settings(**told) if settings is None else settings.model_copy(update=told)
        service = await stack.enter_async_context(
            run(settings, ("memory", "extraction", "embedding"), embedder=embedder, extractor=extractor)
        )
        return cls(service.engine, stack, tenant)

    @classmethod
    async def connect(cls, url: str, *, tenant: str = "default", timeout: float = 120.0) -> Self:
        """Connect to a memstream service over HTTP; raises Unavailable when nobody answers at ``url``."""
        with _explained("Memory.connect", "client"):
            from .http_backend import HttpBackend  # noqa: PLC0415 - needs httpx, an extra of its own

        stack = AsyncExitStack()
        backend = await stack.enter_async_context(HttpBackend(url, timeout=timeout))
        try:
            await backend.check()
        except MemstreamError:
            await stack.aclose()
            raise
        return cls(backend, stack, tenant)

    def user(self, user: str, *, tenant: str | None = None) -> "AsyncUser":
        """Return one user's memory; raises InvalidScope for an id that can name nobody."""
        return AsyncUser(self._backend, Scope.of(tenant or self._tenant, user))

    async def operate(self, operation: Operation[ResultT], told: Told = lambda _: None) -> ResultT:
        """Carry an operation of ``memstream.services.operations`` out; ``told`` is called with its progress."""
        return await self._backend.operate(operation, told)

    def before_close(self, finish: Callable[[], Awaitable[None]]) -> None:
        """Have ``close`` await this first, while memory still answers."""
        self._stack.push_async_callback(finish)

    async def close(self) -> None:
        """Finish what is in work and stop."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncUser:
    """One user's memory."""

    def __init__(self, backend: Backend, scope: Scope) -> None:
        self._backend = backend
        self.scope = scope

    async def memorize(
        self,
        content: Content,
        *,
        modality: str | None = None,
        name: str | None = None,
        media_type: str | None = None,
        session: str | None = None,
        agent: str | None = None,
        time: datetime | None = None,
        wait: bool = True,
        timeout: float = 60.0,
    ) -> Memorized:
        """Memorize messages (``{role, content, name?, time?, id?}``), a text, bytes, or a file by its path.

        ``modality`` is guessed when not given: lists, .json and .jsonl files are conversations, files called
        like an image or a recording are that (and need a model for it), the rest documents.
        With ``wait`` it returns once the result can be retrieved, without as soon as the input is safe in the log:
        ``settle`` then waits for the rest. The same input twice adds nothing. Raises
        InvalidInput (nothing was written), ProcessingFailed or Unavailable (the input is safe in the log).
        """
        with opened(
            content,
            modality=modality,
            name=name,
            media_type=media_type,
            session=session,
            agent=agent,
            time=time,
        ) as (stream, given):
            return await self._backend.memorize(self.scope, stream, given, wait=wait, timeout=timeout)

    async def retrieve(
        self,
        query: str,
        *,
        conversation_history: HistoryLike | None = (),
        method: str = "rag",
        top_k: int = 10,
        max_tokens: int = 2_000,
        exhaustive: bool = False,
        use_model: bool = True,
        as_of: When | None = None,
        session: str | None = None,
        agent: str | None = None,
    ) -> Retrieved:
        """Ask memory; see ``Retrieved`` for what comes back.

        ``top_k`` (1–100) bounds the hits of each tier, ``max_tokens`` the ``context``. ``exhaustive`` searches every
        tier even when an earlier one suffices. ``use_model=False`` asks no configured language model. ``as_of`` (a log position or a time) asks what memory would have
        answered at that moment; the other methods that read take it, too. Raises InvalidInput, and ModelRequired for ``method="llm"`` without a model.
        """
        request = _checked(
            reads.Ask,
            **self._who,
            query=query,
            conversation_history=tuple(conversation_history or ()),
            method=method,
            top_k=top_k,
            max_tokens=max_tokens,
            exhaustive=exhaustive,
            use_model=use_model,
            as_of=as_of,
        )
        return await self._backend.retrieve(self.scope, request, Labels(session=session, agent=agent))

    async def feedback(
        self,
        retrieval_id: str,
        *,
        used: Sequence[str] = (),
        helpful: Sequence[str] = (),
        wrong: Sequence[str] = (),
        missing: str | None = None,
    ) -> FeedbackReceipt:
        """Say which served ids were used, helpful or wrong, and what was missing.

        Raises NotFound for an unknown retrieval, NotServed for ids that it did not return.
        """
        given = _checked(
            FeedbackGivenData,
            retrieval_id=retrieval_id,
            used=tuple(used),
            helpful=tuple(helpful),
            wrong=tuple(wrong),
            missing=missing,
        )
        return await self._backend.feedback(self.scope, given)

    async def items(
        self, *, resource_id: str | None = None, limit: int = 100, offset: int = 0, as_of: When | None = None
    ) -> list[Item]:
        """Return live items, oldest first."""
        request = _checked(
            reads.ListItems, **self._who, as_of=as_of, resource_id=resource_id, limit=limit, offset=offset
        )
        return await self._backend.ask(request)

    async def item(self, item_id: str, *, as_of: When | None = None) -> Item:
        """Return one item, also one that has ended; raises NotFound."""
        return await self._backend.ask(_checked(reads.GetItem, **self._who, as_of=as_of, item_id=item_id))

    async def categories(self, *, as_of: When | None = None) -> list[Category]:
        """Return the live categories, largest first."""
        return await self._backend.ask(_checked(reads.ListCategories, **self._who, as_of=as_of))

    async def files(self, *, as_of: When | None = None) -> list[CategoryFile]:
        """Return the category files, by name."""
        return await self._backend.ask(_checked(reads.ListFiles, **self._who, as_of=as_of))

    async def file(self, category: str, *, as_of: When | None = None) -> CategoryFile:
        """Return the file of a category by its id or name; raises NotFound."""
        return await self._backend.ask(_checked(reads.GetFile, **self._who, as_of=as_of, category=category))

    async def resources(self, *, limit: int = 100, offset: int = 0, as_of: When | None = None) -> list[Resource]:
        """Return the resources, oldest first."""
        return await self._backend.ask(
            _checked(reads.ListResources, **self._who, as_of=as_of, limit=limit, offset=offset)
        )

    async def resource(self, resource_id: str, *, as_of: When | None = None) -> Resource:
        """Return one resource; raises NotFound."""
        return await self._backend.ask(_checked(reads.GetResource, **self._who, as_of=as_of, resource_id=resource_id))

    async def segments(self, resource_id: str, *, as_of: When | None = None) -> list[Segment]:
        """Return the segments of a resource, in order; raises NotFound."""
        return await self._backend.ask(_checked(reads.ListSegments, **self._who, as_of=as_of, resource_id=resource_id))

    async def content(self, resource_id: str, into: BinaryIO) -> Resource:
        """Write a resource's original bytes into a seekable binary file, streamed; raises NotFound."""
        return await self._backend.content(self.scope, resource_id, into)

    async def lineage(self, identifier: str, *, as_of: When | None = None) -> Lineage:
        """Trace any id to the ids of all other layers and to the events behind them; raises NotFound."""
        return await self._backend.ask(_checked(reads.GetLineage, **self._who, as_of=as_of, id=identifier))

    async def counts(self, *, as_of: When | None = None) -> Counts:
        """Count what this memory holds."""
        return await self._backend.ask(_checked(reads.GetCounts, **self._who, as_of=as_of))

    async def diff(self, since: When, until: When | None = None) -> MemoryDiff:
        """Return what changed behind one moment, up to another (default: now), layer by layer and in words."""
        return await self._backend.ask(_checked(reads.GetDiff, **self._who, since=since, until=until))

    async def settle(self, *, timeout: float = 60.0) -> int:
        """Wait until nothing is waiting to be extracted, embedded or summarized; return the position."""
        return await self._backend.ask(_checked(reads.Settle, **self._who, timeout=timeout))

    async def events(
        self, *, after: int = 0, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[EventView]:
        """Return this user's events behind a log position, oldest first."""
        return [event async for event in self._backend.events(self.scope, after=after, types=types, limit=limit)]

    def follow(self, *, after: int = 0, types: Sequence[str] | None = None) -> AsyncIterator[EventView]:
        """Yield this user's events behind a position and then live, until closed."""
        return self._backend.follow(self.scope, after=after, types=types)

    async def status(self) -> Status:
        """Return the state of the service, with this user's events by type."""
        return await self._backend.status(self.scope)

    @property
    def _who(self) -> dict[str, Any]:
        return {"tenant": self.scope.tenant, "user": self.scope.user}


@contextmanager
def _explained(call: str, extra: str) -> Iterator[None]:
    """Say which extra a missing package belongs to."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{call} needs {error.name!r}, which is not installed: pip install 'memstream[{extra}]'", name=error.name
        ) from error


def _checked(model: Any, **values: Any) -> Any:
    """Build a request; a value out of range is the caller's mistake, said in one line."""
    try:
        return model(**values)
    except UnicodeError as error:
        raise InvalidInput(f"text that cannot be encoded: {error}") from error
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise InvalidInput(f"{place}: {detail['msg']} (got {detail.get('input')!r:.80})") from error
