"""Identifiers."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from memstream.events.ids import derived_id, new_id, time_of


def test_a_new_id_is_a_version_7_uuid_that_carries_its_time() -> None:
    identifier = new_id()
    assert UUID(identifier).version == 7
    moment = time_of(identifier)
    assert moment is not None
    assert abs(datetime.now(UTC) - moment) < timedelta(seconds=5)


def test_new_ids_are_unique() -> None:
    assert len({new_id() for _ in range(10_000)}) == 10_000


def test_a_derived_id_depends_on_every_part_and_on_nothing_else() -> None:
    assert derived_id("a", 1) == derived_id("a", 1)
    assert derived_id("a", 1) != derived_id("a", 2)
    assert derived_id("ab", "c") != derived_id("a", "bc")


def test_an_id_without_a_time_says_so() -> None:
    assert time_of(derived_id("a")) is None
    assert time_of("no uuid") is None
    assert time_of(None) is None
