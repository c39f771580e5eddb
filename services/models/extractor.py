"""Extraction by a language model: distilled statements beside the verbatim ones, in one call for each window.

The rules' statements stay: what was said is found in its own words, whatever a model makes of it, and when it fails.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from memstream.events.payloads import CategoryCreatedData, ExtractedItem, Rejected, Source, Span, TaskUsage
from memstream.events.subjects import Scope
from memstream.projections.words import count_tokens
from memstream.services.local.extractor import RuleExtractor, item_id_of, merged
from memstream.services.local.kinds import kind_of
from memstream.services.local.when import resolve_time
from memstream.services.protocols import Distilled, Embedder, Extraction, Material, Passage
from memstream.services.reads import Port
from memstream.services.spending import usage_of

from .client import Answer, Models
from .failures import Declined, Misbehaved, TooLong, Truncated
from .prompts import EXTRACT, prompt
from .reconciling import Reconciled, reconcile
from .shelving import Shelving
from .statements import Believed, Statements, complaint, examine
from .windows import Window, windows

logger = logging.getLogger("memstream.models")
# An answer is about as long as what it is about, and the names of its fields.
_ANSWER_TOKENS, _ANSWER_SHARE = 1_000, 3
# Windows of one resource that are asked about side by side.
_AT_ONCE = 4
# Answers that are kept, should a later step of their resource fail: a second attempt pays for no window twice.
_KEPT = 256


class _Heard(NamedTuple):
    """What came of one window: statements, what was not believed, costs, and why a part gave nothing."""

    believed: Sequence[Believed]
    rejected: Sequence[Rejected]
    usage: Sequence[TaskUsage]
    failures: Sequence[str]


class ModelExtractor:
    """Extracts by rules and by a model; a model that is not there is waited for, one that misbehaves is done without."""

    def __init__(self, models: Models, port: Port, embedder: Embedder, version: str = EXTRACT) -> None:
        self._models = models
        self._port = port
        self._rules = RuleExtractor(embedder)
        self._version = version
        self._answers: OrderedDict[str, Answer[Statements]] = OrderedDict()
        self.name = f"{models.profiles['extract'].model} {version}"

    def estimate(self, material: Material) -> int:
        """Return about how many tokens the model would read."""
        overhead = count_tokens(prompt(self._version)) + count_tokens(_offered(material))
        return sum(overhead + count_tokens(window.text) for window in windows(material.passages))

    async def extract(self, material: Material) -> Extraction:
        """Return verbatim and distilled statements; raises ModelUnavailable and LimitReached to try again later."""
        verbatim = await self._rules.extract(material)
        served = material.served if material.modality == "conversation" else None
        spoken = [one for one in material.passages if served is None or not _echoes(one, verbatim)]
        started = time.perf_counter()
        heard = await self._listen(material, windows(spoken))
        shelving = Shelving(material, verbatim)
        said = [(one, _item(material.scope, one, shelving)) for part in heard for one in part.believed]
        known = {item.id for item in verbatim.items}
        items = [item for item in merged([item for _, item in said]) if item.id not in known]
        # What only orders say is kept, and compared with nothing: it shall end no statement.
        ordered = {item.id for one, item in said if one.ordered}
        reconciled = await self._reconciled(material.scope, [item for item in items if item.id not in ordered])
        failures = [reason for part in heard for reason in part.failures] + reconciled.failures
        distilled = Distilled(
            author=self.name,
            prompt_version=self._version,
            items=[*reconciled.found.items, *(item for item in items if item.id in ordered)],
            rejected=[one for part in heard for one in part.rejected],
            reinforced=reconciled.found.reinforced,
            superseded=reconciled.found.superseded,
            failures=failures,
            usage=usage_of(
                [one for part in heard for one in part.usage] + reconciled.usage, time.perf_counter() - started
            ),
        )
        created: dict[str, CategoryCreatedData] = {one.name: one for one in verbatim.new_categories}
        used = {category for item in distilled.items for category in item.categories}
        created |= {one.name: one for one in shelving.created if one.category_id in used}
        return verbatim._replace(new_categories=list(created.values()), distilled=distilled)

    async def _listen(self, material: Material, found: Sequence[Window]) -> list[_Heard]:
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(window: Window) -> _Heard:
            async with turn:
                return await self._hear(material, window)

        return list(await asyncio.gather(*map(one, found)))

    async def _hear(self, material: Material, window: Window, *, split: bool = True) -> _Heard:
        """Ask about one window; what is too much at once is asked in halves, what is declined once more in halves."""
        try:
            answer = await self._ask(material, window)
        except (Truncated, TooLong, Declined) as error:
            halves = window.halves() if split else []
            if not halves:
                return _given_up(window, error)
            again = not isinstance(error, Declined)
            parts = [await self._hear(material, half, split=again) for half in halves]
            return _joined(parts, error.usage)
        except Misbehaved as error:
            return _given_up(window, error)
        believed, rejected = examine(window, answer.value.statements)
        return _Heard(believed, rejected, [answer.usage], [])

    async def _ask(self, material: Material, window: Window) -> Answer[Statements]:
        text = f"{_offered(material)}\n\n{window.text}"
        key = hashlib.sha256(f"{material.scope.key}\n{material.resource_id}\n{text}".encode()).hexdigest()
        if (kept := self._answers.get(key)) is not None:
            return kept
        answer = await self._models.ask(
            "extract",
            material.scope,
            prompt(self._version),
            text,
            Statements,
            max_tokens=_ANSWER_TOKENS + _ANSWER_SHARE * (len(window.text) // 4),
            check=lambda value: complaint(window, value.statements),
        )
        self._answers[key] = answer
        while len(self._answers) > _KEPT:
            self._answers.popitem(last=False)
        return answer

    async def _reconciled(self, scope: Scope, items: Sequence[ExtractedItem]) -> "_Compared":
        try:
            found = await reconcile(self._models, self._port, scope, items)
        except (Truncated, TooLong, Declined, Misbehaved) as error:
            # Everything is kept as new: two wordings of a fact are better than none.
            return _Compared(Reconciled(items), [error.usage] if error.usage else [], [f"reconciling: {error}"])
        return _Compared(found, [found.usage] if found.usage else [], [])


class _Compared(NamedTuple):
    found: Reconciled
    usage: list[TaskUsage]
    failures: list[str]


def _offered(material: Material) -> str:
    return f"Categories: {', '.join(Shelving.names(material))}"


def _echoes(passage: Passage, verbatim: Extraction) -> bool:
    """Tell whether a passage was skipped as an echo of recalled memory: distilled again, it would be a new fact."""
    return any(
        one.reason == "echo of recalled memory" and (one.span.start, one.span.end) == (passage.start, passage.end)
        for one in verbatim.skipped
    )


def _given_up(window: Window, error: Truncated | TooLong | Declined | Misbehaved) -> _Heard:
    first, last = window.passages[0], window.passages[-1]
    unit = first.segment.span.unit
    logger.warning("%s %d–%d keep their own words alone: %s", unit, first.start, last.end, error)
    reason = f"{unit}s {first.start}–{last.end}: {type(error).__name__}: {error}"
    return _Heard([], [], [error.usage] if error.usage else [], [reason])


def _joined(parts: Sequence[_Heard], spent: TaskUsage | None) -> _Heard:
    return _Heard(
        [one for part in parts for one in part.believed],
        [one for part in parts for one in part.rejected],
        [*([spent] if spent else []), *(one for part in parts for one in part.usage)],
        [one for part in parts for one in part.failures],
    )


def _item(scope: Scope, said: Believed, shelving: Shelving) -> ExtractedItem:
    first = said.passages[0]
    speakers = {passage.speaker for passage in said.passages}
    speaker = first.speaker if len(speakers) == 1 else None
    happened = resolve_time(first.text, first.time)
    if said.happened is not None:
        happened = datetime.combine(said.happened, datetime.min.time(), UTC)
    return ExtractedItem(
        id=item_id_of(scope, said.text, speaker, ""),
        kind=said.kind if said.kind != "knowledge" else kind_of(said.text, spoken_by_user=True),
        text=said.text,
        speaker=speaker,
        happened=happened,
        importance=said.importance,
        categories=shelving.place(said),
        sources=tuple(_source(passage) for passage in said.passages),
    )


def _source(passage: Passage) -> Source:
    return Source(
        resource_id=passage.resource_id,
        segment_id=passage.segment.id,
        span=Span(unit=passage.segment.span.unit, start=passage.start, end=passage.end),
        message_ids=(passage.message_id,) if passage.message_id else (),
        time=passage.time,
    )
