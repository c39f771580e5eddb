"""Adding up what tasks cost."""

from collections.abc import Iterable

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
