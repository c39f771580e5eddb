"""Category files by a language model: it says what to change, and every change must cite what it rests on.

A model that fails leaves no gap: what is new is then quoted word for word below what it had written.
"""

import logging
import time
from collections.abc import Iterator, Sequence

from memstream.events.errors import Unavailable
from memstream.events.payloads import TaskUsage, Usage
from memstream.events.subjects import Scope
from memstream.projections.models import Statement
from memstream.projections.words import count_tokens
from memstream.services.pages import EXTRACTIVE, Page, Written, extractive
from memstream.services.spending import usage_of

from .client import Models
from .failures import Declined, Misbehaved, TooLong, Truncated
from .lines import Change, Changes, Draft, Line, applied, complaint, lines_of, numbered, rendered
from .prompts import SUMMARIZE, prompt

logger = logging.getLogger("memstream.models")
# With fewer distilled statements than these a file that quotes says it as well.
_WORTH_A_MODEL = 8
# What is shown of new statements and old lines in one call.
_BUDGET_TOKENS = 6_000
_ANSWER_TOKENS = 3_000


class ModelWriter:
    """Writes what is worth it with a model, and quotes the rest."""

    # A file is written again when it has grown by half: each rewriting costs tokens.
    growth = 0.5
    thorough = 0.5

    def __init__(self, models: Models) -> None:
        self._models = models

    async def write(self, scope: Scope, pages: Sequence[Page]) -> list[Written]:
        """Return a file for every page."""
        worth = [page for page in pages if _distilled(page)]
        written = [extractive(page) for page in pages if not _distilled(page)]
        for batch in _batches([_work(page) for page in worth]):
            written += await self._write(scope, batch)
        return written

    async def _write(self, scope: Scope, batch: Sequence["_Work"]) -> list[Written]:
        """Ask about some pages in one call; of a page longer than a call, about one part after the other."""
        started = time.perf_counter()
        spent: list[TaskUsage] = []
        for part in range(max(len(work.parts) for work in batch)):
            # What merely lost statements has nothing new to be asked about.
            asked = [work for work in batch if part < len(work.parts) and work.parts[part]]
            if not asked:
                continue
            try:
                answer = await self._ask(scope, asked, part)
            except (Declined, Misbehaved, TooLong, Truncated, Unavailable) as error:
                logger.warning("category files quote what is new: %s", error)
                spent += [error.usage] if not isinstance(error, Unavailable) and error.usage else []
                for work in asked:
                    work.quote(part)
                continue
            spent.append(answer[1])
            for number, work in enumerate(asked, start=1):
                mine = [change for change in answer[0] if change.page == number]
                work.lines = applied(work.lines, mine, work.known(part))
        usage = usage_of(spent, time.perf_counter() - started)
        model = self._models.profiles["summarize"].model
        return [
            # One call wrote them all: its cost is told once.
            _written(work, model, usage if place == 0 else Usage())
            for place, work in enumerate(batch)
        ]

    async def _ask(self, scope: Scope, asked: Sequence["_Work"], part: int) -> tuple[Sequence[Change], TaskUsage]:
        text = "\n\n".join(
            f"Page {number}: {work.page.category.name} ({work.page.category.description})\n{work.shown(part)}"
            for number, work in enumerate(asked, start=1)
        )
        drafts = [Draft(work.lines, work.known(part)) for work in asked]
        answer = await self._models.ask(
            "summarize",
            scope,
            prompt(SUMMARIZE),
            text,
            Changes,
            max_tokens=_ANSWER_TOKENS,
            check=lambda value: complaint(drafts, value.changes),
        )
        return answer.value.changes, answer.usage


class _Work:
    """A page in work: its lines so far, and its new statements in parts that fit into calls."""

    def __init__(self, page: Page, lines: list[Line], parts: list[list[Statement]]) -> None:
        self.page = page
        self.lines = lines
        self.parts = parts

    @property
    def tokens(self) -> int:
        """About how long its first part is."""
        first = sum(count_tokens(item.text) for item in self.parts[0])
        return first + sum(count_tokens(line.text) for line in self.lines)

    def known(self, part: int) -> list[str]:
        """Return the ids that a change may cite, by their numbers from 1: those of the lines, then those that are new."""
        cited = [one for line in self.lines for one in line.citations]
        return list(dict.fromkeys([*cited, *(item.id for item in self.parts[part])]))

    def shown(self, part: int) -> str:
        """Return the lines with their numbers, and the new statements with theirs."""
        numbers = {one: number for number, one in enumerate(self.known(part), start=1)}
        told = [f"L{place} {numbered(line, numbers)}" for place, line in enumerate(self.lines, start=1)]
        fresh = [f"{numbers[item.id]} {_said(item)}" for item in self.parts[part]]
        return "\n".join([*told, "new:", *fresh])

    def quote(self, part: int) -> None:
        """Add a part's statements word for word."""
        self.lines = [*self.lines, *(Line(_said(item), (item.id,)) for item in self.parts[part])]


def _distilled(page: Page) -> list[Statement]:
    """Return what a model's page is made of; the words behind it are in the item layer."""
    found = [item for item in page.items if item.distilled]
    return found if len(found) >= _WORTH_A_MODEL else []


def _work(page: Page) -> _Work:
    live = {item.id for item in page.items}
    own = page.before is not None and page.before.summarizer != EXTRACTIVE
    lines = lines_of(page.before.text, live) if page.before is not None and own else []
    cited = {one for line in lines for one in line.citations}
    since = page.before.covers if page.before is not None and own else 0
    fresh = [item for item in _distilled(page) if item.id not in cited and item.made > since]
    return _Work(page, lines, list(_parts(fresh)) or [[]])


def _parts(items: Sequence[Statement]) -> Iterator[list[Statement]]:
    run: list[Statement] = []
    size = 0
    for item in items:
        length = count_tokens(item.text) + 12
        if run and size + length > _BUDGET_TOKENS:
            yield run
            run, size = [], 0
        run.append(item)
        size += length
    if run:
        yield run


def _batches(works: Sequence[_Work]) -> Iterator[list[_Work]]:
    """Yield works that one call holds; one with nothing new needs no call, and comes by itself."""
    run: list[_Work] = []
    size = 0
    for work in works:
        if run and size + work.tokens > _BUDGET_TOKENS:
            yield run
            run, size = [], 0
        run.append(work)
        size += work.tokens
    if run:
        yield run


def _said(item: Statement) -> str:
    who = ", ".join(part for part in (f"{item.happened:%Y-%m-%d}" if item.happened else "", item.speaker or "") if part)
    return f"{f'({who}) ' if who else ''}{' '.join(item.text.split())}"


def _written(work: _Work, model: str, usage: Usage) -> Written:
    text, citations = rendered(work.page.category, work.lines)
    return Written(work.page.category.id, text, citations, model, SUMMARIZE, usage)
