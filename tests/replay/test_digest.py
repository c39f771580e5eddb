"""The digest says what a memory says, and nothing of how it was built."""

import tempfile
from pathlib import Path

from histories import TIME, USERS, digest, histories, project, stored
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.reading import Stored
from memstream.projections.digest import Digest, digest_of, first_difference
from memstream.projections.index import Index
from memstream.projections.ledger import Ledger

SLOW = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@SLOW
@given(histories(), st.lists(st.integers(1, 45), max_size=6))
async def test_batches_do_not_change_the_digest(history: list[Stored], cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        assert await digest(history, cuts, Path(one)) == await digest(history, [], Path(two))


@SLOW
@given(histories(), st.integers(1, 45))
async def test_the_digest_as_of_a_position_is_that_of_a_replay_until_there(history: list[Stored], moment: int) -> None:
    until = [one for one in history if one.position <= moment]
    assume(until)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        past = await digest(history, [], Path(one), as_of=until[-1].position)
        assert past == await digest(until, [], Path(two))


@SLOW
@given(histories())
async def test_one_users_digest_is_that_of_their_own_events(history: list[Stored]) -> None:
    ana = USERS[0]
    own = [one for one in history if one.owner == ana.key]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        await project(history, [], Path(one))
        await project(own, [], Path(two))
        digests = []
        for directory in (one, two):
            ledger, index = Ledger.open(Path(directory) / "ledger.duckdb"), await Index.open(Path(directory) / "index")
            digests.append(await digest_of(ledger, index, scope=ana.key, as_of=history[-1].position))
            index.close()
            ledger.close()
        assert digests[0] == digests[1]


@SLOW
@given(histories(), st.integers(0, 40))
async def test_a_missing_event_is_seen_and_named(history: list[Stored], place: int) -> None:
    """Losing any event that was applied changes the digest, and the first difference names a row."""
    lost = history[place % len(history)]
    without = [one for one in history if one != lost]
    # The same end, so that both digests speak of one moment.
    said = p.CategoryCreatedData(category_id="end", name="end", description="d", origin="user")
    end = stored(history[-1].position + 1, t.CategoryCreated.of(USERS[0], said, id="end", time=TIME))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        full = await digest([*history, end], [], Path(one))
        less = await digest([*without, end], [], Path(two))
        if _events(full) == _events(less):
            # A broken message leaves no row, so that losing it changes nothing.
            return
        assert full.digest != less.digest
        left = Ledger.open(Path(one) / "ledger.duckdb"), await Index.open(Path(one) / "index")
        right = Ledger.open(Path(two) / "ledger.duckdb"), await Index.open(Path(two) / "index")
        found = await first_difference("events", left, right, scope=None, as_of=end.position)
        assert any(row is not None for row in found)
        for ledger, index in (left, right):
            index.close()
            ledger.close()


def _events(digest: Digest) -> int:
    return next((table.rows for table in digest.tables if table.name == "events"), 0)
