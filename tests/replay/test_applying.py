"""Rebuilding in batches of which the last one is still being written: the same state, here and in another process."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from histories import TIME, dump, histories, project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memstream.events.reading import Stored
from memstream.projections.applier import Applier, Applying, LocalApplier, ProcessApplier
from memstream.projections.batch import RebuildStopped, changes_of, decode_batch
from memstream.projections.index import Index
from memstream.projections.ledger import Ledger
from memstream.projections.loading import load_state
from memstream.projections.projector import store

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


async def good(history: list[Stored], directory: Path) -> list[Stored]:
    """Return the events of a history that can be applied."""
    ledger = Ledger.open(directory / "ledger.duckdb")
    try:
        changes = changes_of(ledger, decode_batch(history))
    finally:
        ledger.close()
    parked = {row[0] for row in changes.rows.get("parked", ())}
    return [stored for stored in history if stored.position not in parked]


@SLOW
@given(histories(), st.lists(st.integers(1, 40), max_size=6))
async def test_a_batch_is_applied_to_the_state_behind_the_one_that_is_being_written(
    history: list[Stored], cuts: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as root:
        kept = await good(history, Path(root) / "good")
        edges = sorted({*(cut for cut in cuts if cut < len(kept)), len(kept)})
        ledger, index = Ledger.open(Path(root) / "ledger.duckdb"), await Index.open(Path(root) / "index")
        applying, unwritten = Applying(), None
        try:
            for start, end in zip([0, *edges], edges, strict=False):
                wanted = applying.prepare(kept[start:end])
                packed = applying.apply(load_state(ledger, wanted))
                if unwritten is not None:
                    await store(ledger, index, *unwritten)
                unwritten = packed, kept[end - 1].position
            if unwritten is not None:
                await store(ledger, index, *unwritten)
            late = await dump(ledger, index)
        finally:
            index.close()
            ledger.close()
        assert _filled(late) == _filled(await project(kept, [], Path(root) / "once"))


def _filled(tables: dict[str, object]) -> dict[str, object]:
    return {name: rows for name, rows in tables.items() if rows}


@pytest.mark.parametrize("start", [LocalApplier, ProcessApplier.start])
async def test_an_event_that_cannot_be_applied_is_told_with_its_position(start: Callable[[], Applier]) -> None:
    applier = start()
    try:
        with pytest.raises(RebuildStopped, match="position 7 cannot be applied"):
            await applier.prepare([Stored(7, "memstream.default.ana.item.revised", b"{", TIME, 0)])
    finally:
        await applier.close()
