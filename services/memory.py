"""The memory process: the projector, and every answer about memory from its own read model.

A read replica is one more of these: it builds its own DuckDB and LanceDB from the log.
"""

import asyncio
import base64
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, cast

import duckdb
import numpy as np

from memstream.events.errors import InvalidInput, ModelRequired, NotFound, Unavailable
from memstream.events.log import EventLog
from memstream.events.payloads import Usage
from memstream.events.subjects import Scope
from memstream.projections.apply import space_name
from memstream.projections.index import Index
from memstream.projections.ledger import Ledger, LedgerOutdatedError
from memstream.projections.lineage import trace
from memstream.projections.models import Recalled
from memstream.projections.projector import Commit, Projector
from memstream.projections.reader import Reader
from memstream.projections.recall import Question, Recall

from . import reads
from .context import pack_context
from .protocols import Embedder
from .reads import Read, ReplyT
from .rewriting import rewrite
from .summaries import Summarizer

logger = logging.getLogger("memstream.memory")

_LEDGER = "ledger.duckdb"
_INDEX = "index.lance"
# Should a commit go by before its waiter is listed.
_FALLBACK_SECONDS = 0.25


class MemoryProcess:
    """Owns one projection directory. Open it with ``MemoryProcess.open`` and close it with ``close``."""

    def __init__(self, log: EventLog, ledger: Ledger, index: Index, embedder: Embedder) -> None:
        self.ledger = ledger
        self.index = index
        self.projector = Projector(log, ledger, index)
        self.summarizer = Summarizer(log, ledger, index, embedder.space)
        self._log = log
        self._embedder = embedder
        self._recall = Recall(ledger, index)
        self._ready_waiters: dict[str, list[asyncio.Event]] = {}
        self.projector.listen(self._committed)
        self.projector.listen(self.summarizer.committed)

    @classmethod
    async def open(cls, log: EventLog, directory: Path, embedder: Embedder) -> Self:
        """Open the projection in ``directory`` and begin to follow the log.

        A damaged or outdated projection is moved aside and rebuilt from the log. Raises LogIntegrityError when the
        log is another one, or has lost its end.
        """
        ledger, index = await _open_stores(directory)
        process = cls(log, ledger, index, embedder)
        try:
            await process.projector.start()
            await process.summarizer.start()
        except BaseException:
            await process.close()
            raise
        return process

    async def close(self) -> None:
        """Finish the batch in work and close the files."""
        await self.summarizer.stop()
        await self.projector.stop()
        self.index.close()
        await asyncio.to_thread(self.ledger.close)

    async def ask(self, request: Read[ReplyT]) -> ReplyT:
        """Answer a question; see ``reads`` for them all."""
        scope = request.scope
        if request.after_position:
            await self.projector.wait_for(request.after_position)
        moment = None if request.as_of is None else await self._moment(request.as_of)
        answer: Any
        match request:
            case reads.Ask():
                answer = await self._find(scope, request, moment)
            case reads.GetOutcome():
                answer = await self._outcome(scope, request)
            case reads.GetProgress():
                parked = await self.ledger.reading(self._parked)
                answer = reads.Progress(position=self.projector.position, parked=parked, failure=self.projector.failure)
            case reads.Settle():
                answer = await self._settle(scope, request.timeout)
            case _:
                answer = await self.ledger.reading(self._read, scope, request, moment)
        return cast("ReplyT", answer)

    def _read(self, scope: Scope, request: Read[Any], moment: int | None) -> object:  # noqa: PLR0911, PLR0912 - one line per question
        reader = Reader(self.ledger, scope, moment)
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
                return trace(self.ledger, scope, request.id, as_of=moment)
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

    async def _find(self, scope: Scope, request: reads.Ask, past: int | None) -> reads.Found:
        if request.method == "llm":
            raise ModelRequired(
                "method='llm' reads memory with a language model, and none is configured: "
                "use method='rag', which needs none"
            )
        if not request.query.strip():
            raise InvalidInput("the query is empty: ask something")
        started = time.perf_counter()
        history = request.conversation_history
        moment = self.projector.position if past is None else past
        people = await self.ledger.reading(Reader(self.ledger, scope, moment).speakers) if history else []
        rewritten = rewrite(request.query, history, people)
        if not rewritten.needs_retrieval:
            return reads.Found(
                needs_retrieval=False,
                rewritten_query=rewritten.query,
                next_step_query=None,
                recalled=Recalled(as_of=moment),
                context="",
                usage=Usage(seconds=round(time.perf_counter() - started, 6)),
            )
        vector = (await self._embedder.embed([rewritten.query]))[0]
        question = Question(
            rewritten.query,
            space_name(self._embedder.space),
            vector,
            as_of=moment,
            past=past is not None,
            top_k=request.top_k,
            exhaustive=request.exhaustive,
        )
        recalled = await self._recall.answer(scope, question)
        return reads.Found(
            needs_retrieval=True,
            rewritten_query=rewritten.query,
            next_step_query=_next_step(recalled),
            recalled=recalled,
            context=pack_context(recalled, request.max_tokens),
            space=self._embedder.space.model,
            dimension=self._embedder.space.dimension,
            vector=base64.b64encode(np.asarray(vector, dtype="<f2").tobytes()).decode(),
            usage=Usage(seconds=round(time.perf_counter() - started, 6)),
        )

    async def _moment(self, as_of: int | datetime) -> int:
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

    async def _outcome(self, scope: Scope, request: reads.GetOutcome) -> reads.Outcome:
        if request.wait:
            await self._await_ready(scope, request.resource_id, request.timeout, fresh=request.fresh)
        reader = Reader(self.ledger, scope)
        try:
            return await self.ledger.reading(_read_outcome, reader, request.resource_id, request.page)
        except NotFound as error:
            raise Unavailable(f"resource {request.resource_id} is in the log, but not in the projection yet") from error

    async def _await_ready(self, scope: Scope, resource_id: str, timeout: float, *, fresh: bool = False) -> None:
        deadline = asyncio.get_running_loop().time() + timeout
        changed = asyncio.Event()
        self._ready_waiters.setdefault(resource_id, []).append(changed)
        try:
            while True:
                left = deadline - asyncio.get_running_loop().time()
                if fresh and left > 0:
                    # Asking before anything can have happened is a query for nothing.
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), min(left, _FALLBACK_SECONDS))
                changed.clear()
                fresh = True
                status = await self.ledger.reading(Reader(self.ledger, scope).status_of, resource_id)
                if status in ("ready", "failed") or left <= 0:
                    return
        finally:
            self._ready_waiters[resource_id].remove(changed)
            if not self._ready_waiters[resource_id]:
                del self._ready_waiters[resource_id]

    def _parked(self) -> int:
        return int(self.ledger.rows("SELECT count(*) FROM parked")[0][0])

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

    def _committed(self, commit: Commit) -> None:
        for resource_id in commit.resources & self._ready_waiters.keys():
            for waiter in self._ready_waiters[resource_id]:
                waiter.set()


def _read_outcome(reader: Reader, resource_id: str, page: int) -> reads.Outcome:
    resource = reader.resource(resource_id)
    items = reader.items(resource_id=resource_id, limit=page)
    touched = sorted({category for item in items for category in item.categories})
    categories = reader.categories(ids=touched) if touched else []
    return reads.Outcome(resource=resource, items=tuple(items), categories=tuple(categories))


def _next_step(recalled: Recalled) -> str | None:
    """Suggest what to ask next: the words of the question that nothing found so far contains."""
    return " ".join(recalled.missing) if recalled.sufficient_at is None and recalled.missing else None


async def _open_stores(directory: Path) -> tuple[Ledger, Index]:
    """Open both stores together; when either is unusable both are moved aside, and the log rebuilds them."""
    try:
        ledger = await asyncio.to_thread(Ledger.open, directory / _LEDGER)
        try:
            return ledger, await Index.open(directory / _INDEX)
        except BaseException:
            ledger.close()
            raise
    except (duckdb.Error, LedgerOutdatedError, RuntimeError, ValueError) as error:
        if isinstance(error, duckdb.IOException) and "lock" in str(error).lower():
            raise Unavailable(f"{directory / _LEDGER} is open in another process: {error}") from error
        aside = await asyncio.to_thread(_move_aside, directory)
        logger.warning("the projection could not be opened (%s); moved to %s, rebuilding from the log", error, aside)
    return await asyncio.to_thread(Ledger.open, directory / _LEDGER), await Index.open(directory / _INDEX)


def _move_aside(directory: Path) -> Path:
    aside = directory / f"set-aside-{time.time_ns()}"
    aside.mkdir(parents=True)
    for path in (directory / _LEDGER, directory / f"{_LEDGER}.wal", directory / _INDEX):
        if path.exists():
            path.rename(aside / path.name)
    return aside
