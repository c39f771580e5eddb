"""Keeps category files up to date: finds the stale ones in the ledger, writes them, appends the event.

It has no state of its own: what is stale is asked from the ledger, and the event's id is derived from what it
covers, so that a crash or a second process repeats nothing.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from itertools import groupby

from memstream.events.errors import Unavailable
from memstream.events.ids import derived_id, new_id
from memstream.events.log import EventLog
from memstream.events.payloads import CategorySummarizedData, Space
from memstream.events.subjects import Scope
from memstream.events.tasks import end
from memstream.events.types import CategorySummarized
from memstream.evolution.extractive import WEIGHED
from memstream.evolution.staleness import StaleCategory, stale_categories
from memstream.projections.apply import space_name
from memstream.projections.ledger import Ledger
from memstream.projections.live import Projection
from memstream.projections.projector import Commit
from memstream.projections.reader import Reader
from memstream.projections.usage import Usage

from .pages import ExtractiveWriter, FileWriter, Page, Written

logger = logging.getLogger("memstream.summaries")

# Wait for a burst to end: one file for a hundred new items, not a hundred files.
_QUIET_SECONDS = 0.6
_LONGEST_WAIT_SECONDS = 10.0
_RETRY_SECONDS = 2.0


class Summarizer:
    """Writes stale category files behind the projector's commits."""

    def __init__(
        self,
        log: EventLog,
        serving: Callable[[], Projection],
        space: Callable[[], Space],
        writer: FileWriter | None = None,
    ) -> None:
        self._log = log
        self._serving = serving
        self._space = space
        self._writer: FileWriter = writer or ExtractiveWriter()
        # None: everybody, as after a start.
        self._dirty: set[str] | None = None
        # Users whose files somebody waits for: theirs are brought up to date to the last item.
        self._thorough: set[str] = set()
        self._changed = asyncio.Event()
        self._round = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._appended = 0

    async def start(self) -> None:
        """Begin; the first round looks at everybody."""
        self._changed.set()
        self._task = asyncio.create_task(self._run(), name="summarizer")

    async def stop(self) -> None:
        """Stop; what is stale is found again at the next start."""
        await end(self._task)

    def committed(self, commit: Commit) -> None:
        """Note whose memory changed."""
        if commit.scopes and self._dirty is not None:
            self._dirty |= commit.scopes
        if commit.scopes:
            self._changed.set()

    async def settled(self, scope: Scope, timeout: float) -> None:
        """Return once no category file of the user is behind; raise Unavailable after ``timeout`` seconds."""
        self._thorough.add(scope.key)
        try:
            async with asyncio.timeout(timeout), self._round:
                while await self._behind(scope):
                    self._changed.set()
                    await self._round.wait()
        except TimeoutError as error:
            raise Unavailable(f"category files are still being written after {timeout:g} s; ask again") from error
        finally:
            self._thorough.discard(scope.key)

    @property
    def _ledger(self) -> Ledger:
        return self._serving().ledger

    async def _behind(self, scope: Scope) -> bool:
        if self._ledger.position < self._appended:
            return True
        return bool(
            await self._ledger.reading(stale_categories, self._ledger, [scope.key], growth=self._writer.thorough)
        )

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            await self._quiet()
            scopes, self._dirty = self._dirty, set()
            try:
                await self._write_all(scopes)
            except Exception as error:  # noqa: BLE001 - one writer for everybody: nothing may end it for good
                logger.warning("category files wait: %s: %s", type(error).__name__, error)
                self._dirty = None
                await asyncio.sleep(_RETRY_SECONDS)
            async with self._round:
                self._round.notify_all()

    async def _quiet(self) -> None:
        """Return when nothing changed for a moment, when somebody waits, or after the longest wait."""
        deadline = asyncio.get_running_loop().time() + _LONGEST_WAIT_SECONDS
        while asyncio.get_running_loop().time() < deadline and not self._thorough:
            self._changed.clear()
            # Nothing came for so long: it is quiet, which is what is waited for.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _QUIET_SECONDS)
                continue
            return

    async def _write_all(self, scopes: set[str] | None) -> None:
        """Write the stale files, reading each user's memory once."""
        # What the last round wrote must be seen first, or it would be written, and paid for, again.
        await self._serving().projector.wait_for(self._appended)
        with self._serving().use() as at:
            found = await at.ledger.reading(stale_categories, at.ledger, scopes, growth=self._writer.growth)
            if self._thorough:
                found += await at.ledger.reading(
                    stale_categories, at.ledger, self._thorough, growth=self._writer.thorough
                )
        for scope, group in groupby(sorted(set(found)), key=lambda stale: stale.scope):
            try:
                with self._serving().use() as at:
                    await self._write_scope(at, scope, list(group))
            except Exception as error:  # noqa: BLE001 - one user's trouble must not keep the others' files back
                logger.warning("category files of %s wait: %s: %s", scope, type(error).__name__, error)

    async def _write_scope(self, at: Projection, scope: Scope, found: list[StaleCategory]) -> None:
        reader = Reader(at.ledger, scope, at.ledger.position)
        ids = [stale.category_id for stale in found]
        categories, held, files, asked = await at.ledger.reading(
            lambda: (
                reader.categories(ids=ids),
                reader.statements(ids, WEIGHED),
                reader.files(ids=ids),
                _asked(at.ledger, scope),
            )
        )
        before = {file.category_id: file for file in files}
        wanted = [item.id for items in held.values() for item in items]
        vectors = await at.index.vectors_of(scope.key, "item", space_name(self._space()), wanted)
        pages: list[Page] = []
        for category in categories:
            items = held.get(category.id, [])
            if any(item.id not in vectors for item in items):
                # Their vectors are on the way, and their commit will wake us.
                self._dirty = (self._dirty or set()) | {scope.key}
                continue
            pages.append(Page(category, items, vectors, before.get(category.id), asked))
        for written in await self._writer.write(scope, pages):
            self._appended = (await self._log.append(_summary(scope, written, reader.as_of))).position


def _asked(ledger: Ledger, scope: Scope) -> dict[str, float]:
    """Return what feedback said was of use, and how much."""
    usage = Usage(ledger, scope.key, ledger.position).items()
    return {item: one.good for item, one in usage.items() if one.good > one.bad}


def _summary(scope: Scope, written: Written, covers: int) -> CategorySummarized:
    data = CategorySummarizedData(
        category_id=written.category_id,
        text=written.text,
        citations=written.citations,
        covers=covers,
        summarizer=written.summarizer,
        prompt_version=written.prompt_version,
        usage=written.usage,
    )
    # The correlation carries a time, so that the log is not searched for an id that can only be new.
    identifier = derived_id(written.category_id, "category.summarized", covers)
    return CategorySummarized.of(scope, data, id=identifier, correlation=new_id())
