"""``Memory``: the public face for programs without asyncio. It runs an event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar

from memstream.events.errors import Unavailable
from memstream.projections.models import Category, CategoryFile, Counts, Item, Lineage, MemoryDiff, Resource, Segment

from .asynchronous import AsyncMemory, AsyncUser, HistoryLike, When
from .inputs import Content
from .operations import Operation, ResultT, Told
from .reads import Retrieved
from .results import EventView, FeedbackReceipt, Memorized, Status

if TYPE_CHECKING:
    from .protocols import Embedder, Extractor
    from .settings import Settings

T = TypeVar("T")


class _Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="memstream", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._loop.is_closed():
            work.close()
            raise Unavailable("this memory is closed: open or connect again")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C in the caller's thread must not leave the work running.
            future.cancel()
            raise

    def close(self) -> None:
        self.run(_ended())
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Memory:
    """A memory: open one in this process, or connect to a service. A context manager; safe to use from threads."""

    def __init__(self, memory: AsyncMemory, loop: _Loop) -> None:
        self._memory = memory
        self._loop = loop
        self._closed = False

    @classmethod
    def open(
        cls,
        data_dir: str | PathLike[str] = "data",
        *,
        nats_url: str | None = None,
        tenant: str = "default",
        embedder: "Embedder | None" = None,
        extractor: "Extractor | None" = None,
        settings: "Settings | None" = None,
    ) -> Self:
        """See ``AsyncMemory.open``."""
        opening = AsyncMemory.open(
            data_dir, nats_url=nats_url, tenant=tenant, embedder=embedder, extractor=extractor, settings=settings
        )
        return cls._started(opening)

    @classmethod
    def connect(cls, url: str, *, tenant: str = "default", timeout: float = 120.0) -> Self:
        """See ``AsyncMemory.connect``."""
        return cls._started(AsyncMemory.connect(url, tenant=tenant, timeout=timeout))

    @classmethod
    def _started(cls, opening: Coroutine[Any, Any, AsyncMemory]) -> Self:
        loop = _Loop()
        try:
            return cls(loop.run(opening), loop)
        except BaseException:
            loop.close()
            raise

    def user(self, user: str, *, tenant: str | None = None) -> "User":
        """Return one user's memory; raises InvalidScope for an id that can name nobody."""
        return User(self._memory.user(user, tenant=tenant), self._loop)

    def operate(self, operation: Operation[ResultT], told: Told = lambda _: None) -> ResultT:
        """See ``AsyncMemory.operate``; ``told`` is called in the memory's thread."""
        return self._loop.run(self._memory.operate(operation, told))

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def asynchronous(self) -> AsyncMemory:
        """The same memory for coroutines, which only ``start`` may run."""
        return self._memory

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine in the memory's thread and return at once; raises Unavailable when it is closed."""
        return self._loop.start(work)

    def close(self) -> None:
        """Finish what is in work and stop; harmless when repeated."""
        if not self._closed:
            self._closed = True
            self._loop.run(self._memory.close())
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class User:
    """One user's memory; every method is that of ``AsyncUser``, waited for."""

    def __init__(self, user: AsyncUser, loop: _Loop) -> None:
        self._user = user
        self._loop = loop
        self.scope = user.scope

    def memorize(
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
        """See ``AsyncUser.memorize``."""
        return self._loop.run(
            self._user.memorize(
                content,
                modality=modality,
                name=name,
                media_type=media_type,
                session=session,
                agent=agent,
                time=time,
                wait=wait,
                timeout=timeout,
            )
        )

    def retrieve(
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
        """See ``AsyncUser.retrieve``."""
        return self._loop.run(
            self._user.retrieve(
                query,
                conversation_history=conversation_history,
                method=method,
                top_k=top_k,
                max_tokens=max_tokens,
                exhaustive=exhaustive,
                use_model=use_model,
                as_of=as_of,
                session=session,
                agent=agent,
            )
        )

    def feedback(
        self,
        retrieval_id: str,
        *,
        used: Sequence[str] = (),
        helpful: Sequence[str] = (),
        wrong: Sequence[str] = (),
        missing: str | None = None,
    ) -> FeedbackReceipt:
        """See ``AsyncUser.feedback``."""
        return self._loop.run(
            self._user.feedback(retrieval_id, used=used, helpful=helpful, wrong=wrong, missing=missing)
        )

    def items(
        self, *, resource_id: str | None = None, limit: int = 100, offset: int = 0, as_of: When | None = None
    ) -> list[Item]:
        """See ``AsyncUser.items``."""
        return self._loop.run(self._user.items(resource_id=resource_id, limit=limit, offset=offset, as_of=as_of))

    def item(self, item_id: str, *, as_of: When | None = None) -> Item:
        """See ``AsyncUser.item``."""
        return self._loop.run(self._user.item(item_id, as_of=as_of))

    def categories(self, *, as_of: When | None = None) -> list[Category]:
        """See ``AsyncUser.categories``."""
        return self._loop.run(self._user.categories(as_of=as_of))

    def files(self, *, as_of: When | None = None) -> list[CategoryFile]:
        """See ``AsyncUser.files``."""
        return self._loop.run(self._user.files(as_of=as_of))

    def file(self, category: str, *, as_of: When | None = None) -> CategoryFile:
        """See ``AsyncUser.file``."""
        return self._loop.run(self._user.file(category, as_of=as_of))

    def resources(self, *, limit: int = 100, offset: int = 0, as_of: When | None = None) -> list[Resource]:
        """See ``AsyncUser.resources``."""
        return self._loop.run(self._user.resources(limit=limit, offset=offset, as_of=as_of))

    def resource(self, resource_id: str, *, as_of: When | None = None) -> Resource:
        """See ``AsyncUser.resource``."""
        return self._loop.run(self._user.resource(resource_id, as_of=as_of))

    def segments(self, resource_id: str, *, as_of: When | None = None) -> list[Segment]:
        """See ``AsyncUser.segments``."""
        return self._loop.run(self._user.segments(resource_id, as_of=as_of))

    def content(self, resource_id: str, into: BinaryIO) -> Resource:
        """See ``AsyncUser.content``."""
        return self._loop.run(self._user.content(resource_id, into))

    def lineage(self, identifier: str, *, as_of: When | None = None) -> Lineage:
        """See ``AsyncUser.lineage``."""
        return self._loop.run(self._user.lineage(identifier, as_of=as_of))

    def counts(self, *, as_of: When | None = None) -> Counts:
        """See ``AsyncUser.counts``."""
        return self._loop.run(self._user.counts(as_of=as_of))

    def diff(self, since: When, until: When | None = None) -> MemoryDiff:
        """See ``AsyncUser.diff``."""
        return self._loop.run(self._user.diff(since, until))

    def settle(self, *, timeout: float = 60.0) -> int:
        """See ``AsyncUser.settle``."""
        return self._loop.run(self._user.settle(timeout=timeout))

    def events(
        self, *, after: int = 0, types: Sequence[str] | None = None, limit: int | None = None
    ) -> list[EventView]:
        """See ``AsyncUser.events``."""
        return self._loop.run(self._user.events(after=after, types=types, limit=limit))

    def follow(self, *, after: int = 0, types: Sequence[str] | None = None) -> Iterator[EventView]:
        """Yield this user's events behind a position and then live; close the iterator to stop."""
        events = self._user.follow(after=after, types=types)

        async def following() -> EventView:
            return await anext(events)

        try:
            while True:
                yield self._loop.run(following())
        finally:
            self._loop.run(_closed(events))

    def status(self) -> Status:
        """See ``AsyncUser.status``."""
        return self._loop.run(self._user.status())


async def _ended() -> None:
    """Cancel what a library left running, as ``asyncio.run`` does at its end."""
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _closed(iterator: Any) -> None:
    await iterator.aclose()
