"""The memory process: the projector, and every answer about memory from its own read model.

A read replica is one more of these: it builds its own DuckDB and LanceDB from the log.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, cast

from memstream.events.errors import InvalidInput, MemstreamError, NotFound, Unavailable
from memstream.events.log import EventLog
from memstream.events.subjects import Scope
from memstream.events.tasks import end
from memstream.projections.apply import space_name
from memstream.projections.differences import difference
from memstream.projections.generations import Generations
from memstream.projections.ledger import Ledger
from memstream.projections.lineage import trace
from memstream.projections.live import Projection, open_stores
from memstream.projections.models import MemoryDiff
from memstream.projections.projector import Commit, Listener, Projector
from memstream.projections.reader import Reader
from memstream.projections.rebuild import Rebuild, Rebuilt, dropped_positions
from memstream.projections.staleness import is_stale

from . import reads
from .asking import Advisor, Asking
from .nearest import nearest
from .pages import FileWriter
from .protocols import Embedder
from .reads import Read, ReplyT
from .summaries import Summarizer

logger = logging.getLogger("memstream.memory")

_CATCH_UP_SECONDS = 600.0
# Should a commit go by before its waiter is listed; a hundred who wait for a model must not ask four times a second.
_FALLBACK_SECONDS, _LONGEST_FALLBACK_SECONDS = 0.25, 8.0


class MemoryProcess:
    """Owns one projection directory. Open it with ``MemoryProcess.open`` and close it with ``close``."""

    def __init__(
        self,
        log: EventLog,
        generations: Generations,
        projection: Projection,
        embedder: Embedder,
        advisor: Advisor | None = None,
        writer: FileWriter | None = None,
    ) -> None:
        self.generations = generations
        self.projection = projection
        self.summarizer = Summarizer(log, lambda: self.projection, lambda: self._embedder.space, writer)
        self._asking = Asking(lambda: self.projection, embedder, advisor)
        # Who hears every commit, of whichever generation is being served.
        self.observers: list[Listener] = []
        self._log = log
        self._embedder = embedder
        self._ready_waiters: dict[str, list[asyncio.Event]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        # Held by whatever fills a generation: deleting the others must not hit one that is being built.
        self.building = asyncio.Lock()
        self._healing: set[asyncio.Task[None]] = set()
        self._closing = False

    @classmethod
    async def open(
        cls,
        log: EventLog,
        directory: Path,
        embedder: Embedder,
        advisor: Advisor | None = None,
        writer: FileWriter | None = None,
    ) -> Self:
        """Open the projection in ``directory`` and begin to follow the log.

        A damaged or outdated projection is moved aside and rebuilt from the log. Raises LogIntegrityError when the
        log is another one, or has lost its end.
        """
        generations = Generations(directory)
        name = await asyncio.to_thread(generations.serving)
        projection = await Projection.open(log, generations.path(name))
        process = cls(log, generations, projection, embedder, advisor, writer)
        try:
            await process._follow(projection)
            await process.summarizer.start()
            if await projection.ledger.reading(is_stale, projection.ledger):
                process._start_healing()
        except BaseException:
            await process.close()
            raise
        return process

    @property
    def ledger(self) -> Ledger:
        """The serving generation's ledger."""
        return self.projection.ledger

    @property
    def projector(self) -> Projector:
        """The serving generation's projector."""
        return self.projection.projector

    async def switch(self, name: str) -> None:
        """Serve another generation, once it has caught up; whoever is being answered gets the old one's answer."""
        fresh = await Projection.open(self._log, self.generations.path(name))
        try:
            await self._follow(fresh)
            await fresh.projector.wait_for(self.projector.position, timeout=_CATCH_UP_SECONDS)
            await asyncio.to_thread(self.generations.switch, name)
            # The old one went on meanwhile: nobody may be shown less than they have been shown already.
            while fresh.projector.position < self.projector.position:
                await fresh.projector.wait_for(self.projector.position, timeout=_CATCH_UP_SECONDS)
        except BaseException:
            await fresh.close()
            raise
        old, self.projection = self.projection, fresh
        old.projector.hand_over(fresh.projector)
        await asyncio.to_thread(self.generations.note, old.name, old.ledger.position, complete=True)
        retiring = asyncio.create_task(old.retire(), name=f"retire {old.name}")
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def renew(self, told: Callable[[Rebuilt], None] = lambda _: None) -> None:
        """Build the projection again if it holds what was erased, and delete every older one with its files."""
        async with self.building:
            until = (await self._log.state()).last_position
            await self.projector.wait_for(until, timeout=_CATCH_UP_SECONDS)
            if not await self.ledger.reading(is_stale, self.ledger):
                return
            name = await asyncio.to_thread(self.generations.create)
            ledger, index = await open_stores(self.generations.path(name))
            try:
                await Rebuild(self._log, ledger, index).run(until, told, await dropped_positions(self._log))
            finally:
                index.close()
                await asyncio.to_thread(ledger.close)
            await asyncio.to_thread(self.generations.note, name, until, complete=True)
            await self.switch(name)
            await asyncio.gather(*self._retiring, return_exceptions=True)
            await asyncio.to_thread(self.generations.drop_others)

    async def _heal(self) -> None:
        """Renew behind an erasure that another process ordered, or that a crash interrupted."""
        try:
            await self._log.finish_erasures()
            await self.renew()
        except MemstreamError as error:
            logger.warning("what was erased is still in the projection's files: %s", error)

    async def close(self) -> None:
        """Finish the batch in work and close the files."""
        self._closing = True
        await self.summarizer.stop()
        await end(*self._healing)
        await asyncio.gather(*self._retiring, return_exceptions=True)
        name, position = self.projection.name, self.ledger.position
        await self.projection.close()
        with suppress(OSError):
            # A full disk: the position in the note is for those who list generations, nothing depends on it.
            await asyncio.to_thread(self.generations.note, name, position, complete=True)

    async def _follow(self, projection: Projection) -> None:
        projection.projector.listen(self._committed)
        projection.projector.listen(self.summarizer.committed)
        projection.projector.listen(self._observed)
        await projection.projector.start()

    async def ask(self, request: Read[ReplyT]) -> ReplyT:
        """Answer a question; see ``reads`` for them all."""
        scope = request.scope
        if request.after_position:
            await self.projector.wait_for(request.after_position)
        moment = None if request.as_of is None else await self.moment(request.as_of)
        answer: Any
        match request:
            case reads.Ask():
                answer = await self._find(scope, request, moment)
            case reads.GetDiff():
                answer = await self._diff(scope, request)
            case reads.GetOutcome():
                answer = await self._outcome(scope, request)
            case reads.GetNear():
                with self.projection.use() as at:
                    answer = await nearest(at, scope, self._embedder, request)
            case reads.FindMentioned():
                with self.projection.use() as at:
                    space = space_name(self._embedder.space)
                    as_of = at.ledger.position if moment is None else moment
                    answer = await at.recall.mentioned(scope, request.text, space=space, as_of=as_of)
            case reads.GetProgress():
                parked = await self.ledger.reading(_count_parked, self.ledger)
                answer = reads.Progress(position=self.projector.position, parked=parked, failure=self.projector.failure)
            case reads.Settle():
                answer = await self._settle(scope, request.timeout)
            case _:
                with self.projection.use() as at:
                    answer = await at.ledger.reading(_read, at.ledger, scope, request, moment)
        return cast("ReplyT", answer)

    async def _find(self, scope: Scope, request: reads.Ask, past: int | None) -> reads.Found:
        return await self._asking.find(scope, request, self.projector.position if past is None else past)

    async def moment(self, as_of: int | datetime) -> int:
        """Return the position of a past moment; raise InvalidInput for one that has not come, or that nothing precedes."""
        end = (await self._log.state()).last_position
        if isinstance(as_of, int):
            if as_of > end:
                raise InvalidInput(f"as_of {as_of} is in the future: the log ends at position {end}")
            await self.projector.wait_for(as_of)
            return as_of
        if as_of > datetime.now(UTC):
            raise InvalidInput(f"as_of {as_of.isoformat()} is in the future")
        await self.projector.wait_for(end)
        position = await self.ledger.reading(self.ledger.position_at, as_of)
        if position is None:
            raise InvalidInput(f"as_of {as_of.isoformat()} is before the first event of the log")
        return position

    async def _diff(self, scope: Scope, request: reads.GetDiff) -> MemoryDiff:
        since = await self.moment(request.since)
        until = self.projector.position if request.until is None else await self.moment(request.until)
        if until < since:
            raise InvalidInput(f"the diff ends at {until}, before it begins at {since}: swap the two")
        with self.projection.use() as at:
            return await at.ledger.reading(difference, at.ledger, scope, since, until)

    async def _outcome(self, scope: Scope, request: reads.GetOutcome) -> reads.Outcome:
        if request.wait:
            with self.projector.hurried():
                await self._await_ready(scope, request.resource_id, request.timeout, fresh=request.fresh)
        try:
            with self.projection.use() as at:
                reader = Reader(at.ledger, scope)
                return await at.ledger.reading(_read_outcome, reader, request.resource_id, request.page)
        except NotFound as error:
            raise Unavailable(f"resource {request.resource_id} is in the log, but not in the projection yet") from error

    async def _await_ready(self, scope: Scope, resource_id: str, timeout: float, *, fresh: bool = False) -> None:
        deadline = asyncio.get_running_loop().time() + timeout
        changed, patience = asyncio.Event(), _FALLBACK_SECONDS
        self._ready_waiters.setdefault(resource_id, []).append(changed)
        try:
            while True:
                left = deadline - asyncio.get_running_loop().time()
                if fresh and left > 0:
                    # Asking before anything can have happened is a query for nothing.
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), min(left, patience))
                    patience = min(4 * patience, _LONGEST_FALLBACK_SECONDS)
                changed.clear()
                fresh = True
                status = await self.ledger.reading(Reader(self.ledger, scope).status_of, resource_id)
                if status in ("ready", "failed") or left <= 0:
                    return
        finally:
            self._ready_waiters[resource_id].remove(changed)
            if not self._ready_waiters[resource_id]:
                del self._ready_waiters[resource_id]

    async def _settle(self, scope: Scope, timeout: float) -> int:
        """Wait until every resource of the user is ready and no category file is behind."""
        deadline = asyncio.get_running_loop().time() + timeout
        await self.projector.wait_for((await self._log.state()).last_position, timeout=timeout)
        reader = Reader(self.ledger, scope)
        for resource in await self.ledger.reading(reader.resources):
            left = max(0.001, deadline - asyncio.get_running_loop().time())
            await self._await_ready(scope, resource.id, left)
        await self.summarizer.settled(scope, max(0.001, deadline - asyncio.get_running_loop().time()))
        return self.projector.position

    def _start_healing(self) -> None:
        healing = asyncio.create_task(self._heal(), name="renew behind an erasure")
        self._healing.add(healing)
        healing.add_done_callback(self._healing.discard)

    def _observed(self, commit: Commit) -> None:
        for observer in self.observers:
            observer(commit)

    def _committed(self, commit: Commit) -> None:
        if commit.erased and not self._closing:
            self._start_healing()
        for resource_id in commit.resources & self._ready_waiters.keys():
            for waiter in self._ready_waiters[resource_id]:
                waiter.set()


def _read_outcome(reader: Reader, resource_id: str, page: int) -> reads.Outcome:
    resource = reader.resource(resource_id)
    items = reader.items(resource_id=resource_id, limit=page)
    touched = sorted({category for item in items for category in item.categories})
    categories = reader.categories(ids=touched) if touched else []
    return reads.Outcome(resource=resource, items=tuple(items), categories=tuple(categories))


def _read(ledger: Ledger, scope: Scope, request: Read[Any], moment: int | None) -> object:  # noqa: PLR0911, PLR0912 - one line per question
    reader = Reader(ledger, scope, moment)
    match request:
        case reads.ListItems():
            return reader.items(resource_id=request.resource_id, limit=request.limit, after=request.offset)
        case reads.GetItem():
            return reader.item(request.item_id)
        case reads.ListCategories():
            return reader.categories()
        case reads.ListFiles():
            return reader.files()
        case reads.GetFile():
            return reader.file(request.category)
        case reads.ListResources():
            return reader.resources(limit=request.limit, after=request.offset)
        case reads.GetResource():
            return reader.resource(request.resource_id)
        case reads.ListSegments():
            return reader.segments(resource_id=reader.resource(request.resource_id).id)
        case reads.GetLineage():
            return trace(ledger, scope, request.id, as_of=moment)
        case reads.GetCounts():
            return reader.counts()
        case reads.ListParked():
            return reader.parked()
        case reads.GetServed():
            served = reader.served(request.retrieval_id)
            return None if served is None else sorted(served)
        case reads.GetKnown():
            return reads.Known(categories=tuple(reader.category_names()), served=tuple(reader.served_items()))
    raise InvalidInput(f"memory cannot answer {type(request).__name__}")


def _count_parked(ledger: Ledger) -> int:
    return int(ledger.rows("SELECT count(*) FROM parked")[0][0])
