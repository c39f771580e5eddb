"""Adding up what tasks cost."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from memstream.events.payloads import TaskUsage, Usage


def usage_of(tasks: Iterable[TaskUsage], seconds: float) -> Usage:
    """Return the sum of some tasks' costs, by task and model; ``seconds`` is how long it took all told."""
    summed: dict[tuple[str, str], TaskUsage] = {}
    for one in tasks:
        key = (one.task, one.model)
        before = summed.get(key)
        summed[key] = one if before is None else _plus(before, one)
    found = tuple(summed.values())
    return Usage(
        model=found[0].model if found else None,
        calls=sum(one.calls for one in found),
        tokens_in=sum(one.tokens_in for one in found),
        tokens_out=sum(one.tokens_out for one in found),
        seconds=round(seconds, 6),
        tasks=found,
    )


def _plus(one: TaskUsage, other: TaskUsage) -> TaskUsage:
    return one.model_copy(
        update={
            name: getattr(one, name) + getattr(other, name) for name in ("calls", "tokens_in", "tokens_out", "seconds")
        }
    )


_METER: ContextVar[list[TaskUsage] | None] = ContextVar("memstream_meter", default=None)


@contextmanager
def metered() -> Iterator[list[TaskUsage]]:
    """Collect what is spent inside, by whoever is called, however deep."""
    spent: list[TaskUsage] = []
    token = _METER.set(spent)
    try:
        yield spent
    finally:
        _METER.reset(token)


def spend(usage: TaskUsage) -> None:
    """Tell whoever meters what was spent."""
    if (spent := _METER.get()) is not None:
        spent.append(usage)
