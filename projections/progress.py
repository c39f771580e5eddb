"""How far memory has got with resources: a resource is ready when every part's texts have vectors.

Two plain queries and a sum in Python: one query that joins and groups takes DuckDB three times as long to plan as
these take to run, and whoever waits for a resource asks at every commit.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from memstream.events.payloads import Usage

from .ledger import Ledger


class Progress(NamedTuple):
    """The state of one resource: its status, why it failed, how much it gave, and what that cost."""

    status: Literal["ingested", "extracted", "ready", "failed"]
    failure: str | None
    segments: int
    items: int
    usage: Usage


class _Stage(NamedTuple):
    """A stage of processing: whether all its parts are there, what it stated, and whether all of that has vectors."""

    complete: bool = False
    statements: int = 0
    embedded: bool = False
    usage: Usage = Usage()


def progress_of(ledger: Ledger, scope: str, ids: Sequence[str], as_of: int) -> dict[str, Progress]:
    """Return how far memory has got with each resource, as of a position."""
    wanted = {"scope": scope, "moment": as_of, "ids": list(ids)}
    here = "scope = $scope AND made <= $moment AND list_contains($ids::VARCHAR[], resource_id)"
    parts = ledger.rows(
        "SELECT resource_id, stage, event_id, parts, statements, model, tokens_in, tokens_out, seconds, "
        f"run FROM parts WHERE {here}",
        wanted,
    )
    embedded = ledger.rows(f"SELECT cause, space, vectors FROM embeddings WHERE {here}", wanted) if parts else []
    vectors = _vectors(embedded)
    stages = {
        (one, stage): _stage(_latest([row for row in parts if row[:2] == (one, stage)]), vectors)
        for one, stage in {(row[0], row[1]) for row in parts}
    }
    unfinished = [one for one in ids if not stages.get((one, "extracted"), _Stage()).complete]
    failures = _failures(ledger, wanted | {"ids": unfinished}) if unfinished else {}
    return {
        one: _joined(
            stages.get((one, "described"), _Stage()), stages.get((one, "extracted"), _Stage()), failures.get(one)
        )
        for one in ids
    }


def _vectors(rows: Iterable[tuple[str, str, int]]) -> dict[str, int]:
    """Return how many vectors each event's texts have, in the space that has most of them."""
    by_space: dict[tuple[str, str], int] = {}
    for cause, space, count in rows:
        by_space[cause, space] = by_space.get((cause, space), 0) + count
    most: dict[str, int] = {}
    for (cause, _), count in by_space.items():
        most[cause] = max(count, most.get(cause, 0))
    return most


def _latest(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the parts of the last run: an extraction that was made again takes the place of the first."""
    last = max(row[9] for row in rows)
    return [row for row in rows if row[9] == last]


def _stage(rows: Sequence[tuple[Any, ...]], vectors: dict[str, int]) -> _Stage:
    return _Stage(
        complete=len(rows) >= max(row[3] for row in rows),
        statements=sum(row[4] for row in rows),
        embedded=all(row[4] <= vectors.get(row[2], 0) for row in rows),
        usage=Usage(
            model=next((row[5] for row in rows if row[5]), None),
            tokens_in=sum(row[6] for row in rows),
            tokens_out=sum(row[7] for row in rows),
            seconds=round(sum(row[8] for row in rows), 6),
        ),
    )


def _joined(described: _Stage, extracted: _Stage, failure: str | None) -> Progress:
    counts = (described.statements, extracted.statements, _summed(described.usage, extracted.usage))
    if not (described.complete and extracted.complete):
        return Progress("failed" if failure else "ingested", failure, *counts)
    return Progress("ready" if described.embedded and extracted.embedded else "extracted", None, *counts)


def _summed(one: Usage, other: Usage) -> Usage:
    return Usage(
        model=other.model or one.model,
        tokens_in=one.tokens_in + other.tokens_in,
        tokens_out=one.tokens_out + other.tokens_out,
        seconds=round(one.seconds + other.seconds, 6),
    )


def _failures(ledger: Ledger, wanted: dict[str, Any]) -> dict[str, str]:
    """Return why processing was given up, for those resources where it was."""
    return dict(
        ledger.rows(
            "SELECT resource_id, arg_max(reason, made) FROM failures WHERE scope = $scope AND made <= $moment "
            "AND parked AND list_contains($ids::VARCHAR[], resource_id) GROUP BY resource_id",
            wanted,
        )
    )
