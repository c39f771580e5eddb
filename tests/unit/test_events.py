"""The contract of the events: golden bytes, round trips, upcasting, refusals."""

import json
from pathlib import Path

import pytest
from samples import SCOPE, samples

from memstream.events.errors import InvalidEvent
from memstream.events.types import EVENT_TYPES, Event, decode
from memstream.events.upcast import Document, Upcasters

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_released_version_of_every_event_still_loads(path: Path) -> None:
    event = decode(path.read_bytes())
    assert event.type == path.stem.rsplit(".v", 1)[0]
    assert event.scope == SCOPE


def test_every_event_type_has_a_golden_fixture_for_its_present_version() -> None:
    present = {f"{event.type}.v{event.version}.json" for event in samples()}
    assert present <= {path.name for path in GOLDEN.iterdir()}
    assert {event.type for event in samples()} == set(EVENT_TYPES)


@pytest.mark.parametrize("event", samples(), ids=lambda event: event.type)
def test_an_event_is_stored_exactly_as_its_golden_fixture(event: Event) -> None:
    golden = json.loads((GOLDEN / f"{event.type}.v{event.version}.json").read_text())
    assert json.loads(event.encode()) == golden


@pytest.mark.parametrize("event", samples(), ids=lambda event: event.type)
def test_an_event_survives_the_way_through_bytes(event: Event) -> None:
    assert decode(event.encode()) == event


@pytest.mark.parametrize("event", samples(), ids=lambda event: event.type)
def test_an_event_cannot_be_changed(event: Event) -> None:
    with pytest.raises(ValueError, match="frozen"):
        event.user = "somebody else"


def test_optional_fields_may_be_missing_from_stored_bytes() -> None:
    bare = {
        "retrieval_id": "q",
        "method": "rag",
        "original_query": "x",
        "rewritten_query": "x",
        "needs_retrieval": False,
    }
    bare |= {"top_k": 1, "tiers": [], "as_of": 0, "latency_ms": 0.0}
    envelope = {"id": "1", "type": "retrieval.served", "version": 1, "tenant": "t", "user": "u", "data": bare}
    event = decode(json.dumps(envelope | {"time": "2024-05-01T10:00:00Z"}))
    assert event.session is None


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "body"),
        (b"not json", "body"),
        (b"[1, 2]", "body"),
        (b'{"type": "unheard.of"}', "type"),
        (b'{"type": "feedback.given", "version": 1}', "id"),
        (b'{"type": "feedback.given", "version": 99}', "id"),
        (b"\xff\xfe", "body"),
    ],
)
def test_bytes_that_are_no_event_are_refused_with_the_place(body: bytes, place: str) -> None:
    with pytest.raises(InvalidEvent, match=place):
        decode(body)


def test_an_unknown_field_is_refused_not_dropped() -> None:
    document = json.loads(samples()[0].encode())
    document["data"]["surprise"] = 1
    with pytest.raises(InvalidEvent, match="surprise"):
        decode(json.dumps(document))


def test_old_versions_are_lifted_step_by_step() -> None:
    def to_two(document: Document) -> Document:
        return {**document, "data": {"retrieval_id": document["data"]["id"]}}

    def to_three(document: Document) -> Document:
        return {**document, "data": {**document["data"], "used": document["data"].get("used", ["i-1"])}}

    upcasters = Upcasters({("feedback.given", -1): to_two, ("feedback.given", 0): to_three})
    stored = json.loads(next(e for e in samples() if e.type == "feedback.given").encode())
    stored |= {"version": -1, "data": {"id": "q-1"}}
    lifted = decode(json.dumps(stored), upcasters=upcasters)
    assert lifted.version == 1
    assert lifted.data.model_dump()["used"] == ("i-1",)
