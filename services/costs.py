"""What language models have cost, from the log: calls, tokens and seconds by task and model, and dollars where prices are known."""

from collections.abc import Mapping

from memstream.events.errors import MemstreamError
from memstream.events.log import EventLog
from memstream.events.payloads import TaskUsage
from memstream.events.subjects import Scope
from memstream.events.types import (
    CategorySummarized,
    Event,
    ExtractionFailed,
    ItemsExtracted,
    ResourceDescribed,
    RetrievalServed,
    VectorsEmbedded,
)

from .operations import Cost, CostReport

_COSTING = (
    "resource.described",
    "items.extracted",
    "extraction.failed",
    "category.summarized",
    "retrieval.served",
    "vectors.embedded",
)
_MILLION = 1_000_000
# Dollars for a million tokens in, and out; None: nobody said.
Prices = Mapping[str, tuple[float | None, float | None]]


async def report_costs(log: EventLog, scope: Scope | None, prices: Prices) -> CostReport:
    """Add up what the log says, of one user or of everybody; an unreadable event is passed over."""
    summed: dict[tuple[str, str], TaskUsage] = {}
    async for stored in log.read_stored(scope=scope, types=_COSTING):
        try:
            event = stored.decode()
        except MemstreamError:
            # It says nothing of tokens that anybody could read; the projection parks it.
            continue
        for one in _tasks(event):
            key = (one.task, one.model)
            before = summed.get(key, one.model_copy(update=dict.fromkeys(_COUNTED, 0)))
            summed[key] = one.model_copy(update={name: getattr(before, name) + getattr(one, name) for name in _COUNTED})
    return CostReport(costs=tuple(_cost(one, prices) for _, one in sorted(summed.items())))


_COUNTED = ("calls", "tokens_in", "tokens_out", "seconds")


def _tasks(event: Event) -> tuple[TaskUsage, ...]:
    match event:
        case ItemsExtracted() | CategorySummarized() | RetrievalServed() | ExtractionFailed():
            return event.data.usage.tasks
        case VectorsEmbedded() | ResourceDescribed():
            return event.data.usage.tasks if event.data.usage else ()
        case _:
            return ()


def _cost(one: TaskUsage, prices: Prices) -> Cost:
    price_in, price_out = prices.get(one.model, (None, None))
    dollars = None
    if price_in is not None or price_out is not None:
        dollars = round((one.tokens_in * (price_in or 0) + one.tokens_out * (price_out or 0)) / _MILLION, 6)
    return Cost(
        task=one.task,
        model=one.model,
        calls=one.calls,
        tokens_in=one.tokens_in,
        tokens_out=one.tokens_out,
        seconds=round(one.seconds, 3),
        dollars=dollars,
    )
