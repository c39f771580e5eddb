"""Any batch size and any restart give the same three layers, and no event loses an item."""

import tempfile
from pathlib import Path

import pytest
from histories import USERS, histories, project, strict_changes_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memstream.events.reading import Stored
from memstream.projections.batch import RebuildStopped, changes_of, decode_batch
from memstream.projections.index import Index
from memstream.projections.ledger import Ledger
from memstream.projections.packing import pack_vectors
from memstream.projections.reader import Reader

SLOW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@SLOW
@given(histories(), st.lists(st.integers(1, 45), max_size=6))
async def test_the_state_does_not_depend_on_how_the_log_was_cut_into_batches(
    history: list[Stored], cuts: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        whole = await project(history, [], Path(one))
        parts = await project(history, cuts, Path(two))
    assert parts == whole


@SLOW
@given(histories())
async def test_every_message_is_applied_or_parked_with_a_reason(history: list[Stored]) -> None:
    with tempfile.TemporaryDirectory() as one:
        state = await project(history, [], Path(one))
    assert len(state["events"]) + len(state["parked"]) == len(history)


@SLOW
@given(histories())
async def test_every_live_item_is_in_a_live_category_whatever_happened(history: list[Stored]) -> None:
    with tempfile.TemporaryDirectory() as one:
        await project(history, [], Path(one))
        ledger = Ledger.open(Path(one) / "ledger.duckdb")
        for scope in USERS:
            reader = Reader(ledger, scope)
            live = {category.id for category in reader.categories()}
            assert all(set(item.categories) & live for item in reader.items())
        ledger.close()


@SLOW
@given(histories())
async def test_one_users_memory_is_what_their_own_events_make_of_it(history: list[Stored]) -> None:
    """The wall: the other users' events change nothing that this user can see."""
    ana = USERS[0]
    own = [stored for stored in history if stored.owner == ana.key]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        await project(history, [], Path(one))
        await project(own, [], Path(two))
        both, alone = Ledger.open(Path(one) / "ledger.duckdb"), Ledger.open(Path(two) / "ledger.duckdb")
        end = history[-1].position
        for view in ("items", "categories", "files", "resources", "segments", "parked", "served_items"):
            assert getattr(Reader(both, ana, end), view)() == getattr(Reader(alone, ana, end), view)()
        both.close()
        alone.close()


@SLOW
@given(histories(), st.integers(1, 45))
async def test_the_past_is_seen_as_it_was(history: list[Stored], moment: int) -> None:
    """Reading as of a position equals reading a projection that stopped there."""
    until = [stored for stored in history if stored.position <= moment]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        await project(history, [], Path(one))
        await project(until, [], Path(two))
        full, stopped = Ledger.open(Path(one) / "ledger.duckdb"), Ledger.open(Path(two) / "ledger.duckdb")
        for scope in USERS:
            now, then = Reader(stopped, scope, moment), Reader(full, scope, moment)
            assert [(i.id, i.text, i.categories, i.sources) for i in then.items()] == [
                (i.id, i.text, i.categories, i.sources) for i in now.items()
            ]
            assert [(f.category_id, f.version, f.text) for f in then.files()] == [
                (f.category_id, f.version, f.text) for f in now.files()
            ]
            assert {c.id: c.items for c in then.categories()} == {c.id: c.items for c in now.categories()}
        full.close()
        stopped.close()


@SLOW
@given(histories(), st.integers(1, 30))
async def test_what_a_crash_left_in_the_index_is_cut_off_and_written_again(history: list[Stored], crash: int) -> None:
    """The index is written first: a crash before the ledger's commit leaves rows beyond its position."""
    crash = min(crash, len(history))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        whole = await project(history, [], Path(one))
        ledger, index = Ledger.open(Path(two) / "ledger.duckdb"), await Index.open(Path(two) / "index")
        lost = changes_of(ledger, decode_batch(history[:crash]))
        await index.write(pack_vectors(lost.vectors))
        await index.cut(ledger.position)
        index.close()
        ledger.close()
        again = await project(history, [crash], Path(two))
    # A table that a crash created and emptied again is no difference.
    assert {name: rows for name, rows in again.items() if rows} == {name: rows for name, rows in whole.items() if rows}


@SLOW
@given(histories())
async def test_a_rebuild_is_strict_where_live_projection_parks(history: list[Stored]) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        parked = (await project(history, [], Path(one)))["parked"]
        ledger = Ledger.open(Path(two) / "ledger.duckdb")
        try:
            if parked:
                with pytest.raises(RebuildStopped, match="position"):
                    strict_changes_of(ledger, decode_batch(history, strict=True))
            else:
                strict_changes_of(ledger, decode_batch(history, strict=True))
        finally:
            ledger.close()
