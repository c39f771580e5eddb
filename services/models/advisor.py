"""A language model beside the search: what is meant, what suffices, and reading instead of searching."""

import logging
from collections.abc import Sequence

from memstream.events.errors import MemstreamError, ProcessingFailed, Unavailable
from memstream.events.payloads import TaskUsage
from memstream.events.subjects import Scope
from memstream.services.asking import Meaning, Reading, Verdict
from memstream.services.reads import Turn
from memstream.services.shelves import Shelf

from .client import Models
from .deciding import decide, suffices
from .failures import Declined, LimitReached, Misbehaved, TooLong, Truncated
from .reading import read_memory

logger = logging.getLogger("memstream.models")
_UNUSABLE = (Declined, Misbehaved, TooLong, Truncated)


class ModelAdvisor:
    """Asks the models of this process; a search goes on without them, reading cannot."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def meaning(self, scope: Scope, query: str, history: Sequence[Turn]) -> Meaning | None:
        """Return what a question means; None when the model is away, or gives no usable answer."""
        try:
            answer = await decide(self._models, scope, query, history)
        except (*_UNUSABLE, Unavailable) as error:
            _done_without(error)
            return None
        return Meaning(answer.value.needs_memory, answer.value.query, [answer.usage])

    async def verdict(self, scope: Scope, query: str, context: str) -> Verdict:
        """Judge what was found; without a usable answer the search's own judgement stands."""
        if not context:
            return Verdict(None, None)
        try:
            answer = await suffices(self._models, scope, query, context)
        except (*_UNUSABLE, Unavailable) as error:
            _done_without(error)
            return Verdict(None, None, _spent(error))
        return Verdict(answer.value.sufficient, answer.value.next_query or None, [answer.usage])

    async def read(self, scope: Scope, query: str, shelf: Shelf, *, top_k: int, as_of: int) -> Reading:
        """Read memory tier by tier; raises Unavailable, and ProcessingFailed for a model that makes no sense."""
        try:
            read = await read_memory(self._models, scope, query, shelf, top_k=top_k, as_of=as_of)
        except _UNUSABLE as error:
            raise ProcessingFailed(f"reading memory failed: {error}; method='rag' needs no model") from error
        return Reading(read.recalled, read.next_query, read.usage)


def _spent(error: MemstreamError) -> Sequence[TaskUsage]:
    usage = getattr(error, "usage", None)
    return [usage] if isinstance(usage, TaskUsage) else []


def _done_without(error: MemstreamError) -> None:
    level = logging.INFO if isinstance(error, LimitReached) else logging.WARNING
    logger.log(level, "asked without a model: %s", error)
