"""Whatever is erased from whatever history: what is left can be replayed strictly, and holds nothing of it."""

import json
import tempfile
from pathlib import Path

from histories import SPACE, USERS, commit, histories, project, stored, strict_changes_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memstream.events.errors import InvalidEvent
from memstream.events.reading import Stored
from memstream.events.redacting import Erased, Redactor
from memstream.projections.batch import decode_batch
from memstream.projections.ledger import Ledger

SLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
ERASURES = st.sampled_from(
    [
        Erased(items=frozenset({"i1"}), texts=("statement 1",)),
        Erased(items=frozenset({"i2"}), texts=("statement 2",)),
        Erased(items=frozenset({"i1", "i3"}), resources=frozenset({"r1"})),
        Erased(items=frozenset({"i2"}), resources=frozenset({"r2"}), categories=frozenset({"c2"})),
    ]
)


async def applied(history: list[Stored]) -> list[Stored]:
    """Return the part of a history that can be applied strictly: what an operator would keep of it."""
    with tempfile.TemporaryDirectory() as one:
        parked = {json.loads(row)[0] for row in (await project(history, [], Path(one)))["parked"]}
    return [one for one in history if one.position not in parked]


def redacted(history: list[Stored], erased: Erased) -> list[Stored]:
    """Return what is left of a history when something is erased from the first user's."""
    ana, left = USERS[0], []
    redactor = Redactor(erased, space=SPACE)
    for one in history:
        if one.owner != ana.key:
            left.append(one)
            continue
        event = redactor.redact(one.decode())
        if event is not None:
            left.append(stored(one.position, event.model_copy(update={"position": 0, "recorded": None})))
    return left


@SLOW
@given(histories(), ERASURES)
async def test_what_is_left_of_a_history_can_be_replayed_strictly(history: list[Stored], erased: Erased) -> None:
    valid = await applied(history)
    left = redacted(valid, _closed(valid, erased))
    with tempfile.TemporaryDirectory() as two:
        ledger = Ledger.open(Path(two) / "ledger.duckdb")
        try:
            if left:
                changes = strict_changes_of(ledger, decode_batch(left, strict=True))
                commit(ledger, changes, left[-1].position)
            held = ledger.rows("SELECT id, text FROM items WHERE scope = ?", [USERS[0].key])
        finally:
            ledger.close()
    assert not {row[0] for row in held} & erased.items
    assert not any(text == word for _, text in held for word in erased.texts)


@SLOW
@given(histories(), ERASURES)
async def test_nobody_elses_events_are_looked_at(history: list[Stored], erased: Erased) -> None:
    valid = await applied(history)
    left = redacted(valid, _closed(valid, erased))
    ana = USERS[0].key
    assert [one for one in left if one.owner != ana] == [one for one in valid if one.owner != ana]


@SLOW
@given(histories())
async def test_erasing_nothing_changes_nothing(history: list[Stored]) -> None:
    redactor = Redactor(Erased())
    for one in await applied(history):
        if one.owner == USERS[0].key:
            event = one.decode()
            assert redactor.redact(event) is event


def _closed(history: list[Stored], erased: Erased) -> Erased:
    """Erase with a resource every item that only it says, as the service does."""
    if not erased.resources:
        return erased
    sources: dict[str, set[str]] = {}
    for one in history:
        try:
            event = one.decode()
        except InvalidEvent:
            continue
        if one.owner == USERS[0].key and event.type == "items.extracted":
            for item in event.data.items:
                sources.setdefault(item.id, set()).update(source.resource_id for source in item.sources)
        if one.owner == USERS[0].key and event.type == "item.reinforced":
            sources.setdefault(event.data.item_id, set()).add(event.data.source.resource_id)
    only = frozenset(item for item, resources in sources.items() if resources <= erased.resources)
    return erased._replace(items=erased.items | only, categories=frozenset())
