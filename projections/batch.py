"""Turns a run of stored messages into one set of changes; bad ones are parked, or stop a strict rebuild."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memstream.events.errors import InvalidEvent, MemstreamError
from memstream.events.reading import Stored
from memstream.events.types import Event

from .apply import apply
from .changes import Changes
from .ledger import Ledger
from .loading import load_state
from .refusal import Refused
from .state import State, ordering_key, references


class RebuildStopped(MemstreamError):
    """A strict rebuild met an event that cannot be applied, at ``position``."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(position, reason)
        self.position = position

    def __str__(self) -> str:
        return f"position {self.position}{self.args[1]}"


@dataclass
class Batch:
    """A decoded run of messages: the events, and what could not be decoded."""

    position: int
    events: list[Event] = field(default_factory=list)
    broken: list[tuple[Stored, str]] = field(default_factory=list)
    subjects: dict[int, Stored] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)


def decode_batch(messages: Sequence[Stored], *, strict: bool = False) -> Batch:
    """Decode each message by itself, so that a bad one spoils no other."""
    batch = Batch(messages[-1].position if messages else 0)
    for stored in messages:
        try:
            batch.events.append(stored.decode())
            batch.subjects[stored.position] = stored
        except InvalidEvent as error:
            if strict:
                raise RebuildStopped(stored.position, f" cannot be applied: {error}") from error
            batch.broken.append((stored, str(error)))
    return batch


def changes_of(ledger: Ledger, batch: Batch, *, retried: Mapping[int, int] | None = None) -> Changes:
    """Load the working set and apply the batch in order; blocking, for the writer's thread.

    ``retried`` are the attempts so far of parked positions that are tried again.
    """
    state = load_state(ledger, references(batch.events))
    batch.attempts = dict(retried or {})
    # What is tried again does not wait for itself, nor for what is tried before it.
    for waited in (state.parked, state.parked_events):
        for key in [key for key, position in waited.items() if position in batch.attempts]:
            del waited[key]
    return applied(state, batch, strict=False)


def applied(state: State, batch: Batch, *, strict: bool) -> Changes:
    """Apply a batch in order and advance the state; what cannot be applied is parked, or stops a strict rebuild."""
    changes = Changes()
    for stored, reason in batch.broken:
        _park(changes, batch, stored, stored.subject.split(".", 3)[-1], reason=reason)
    for event in batch.events:
        _apply_or_park(state, event, batch, changes, strict=strict)
    return changes


def _apply_or_park(state: State, event: Event, batch: Batch, changes: Changes, *, strict: bool) -> None:
    scope, key = event.scope.key, ordering_key(event)
    stored = batch.subjects[event.position]
    if (first := _waits_for(state, event, key)) is not None and not strict:
        reason = f"waits for position {first}, parked before it"
        state.parked_events[scope, event.id] = event.position
        _park(changes, batch, stored, event.type, event.id, key=key, reason=reason, waits_for=first)
        return
    try:
        changes.extend(apply(state, event))
    except Refused as error:
        if strict:
            raise RebuildStopped(event.position, f" ({event.type}) cannot be applied: {error}") from error
        # Only an event that others build on is kept under its key: those behind it wait.
        blocking = key if _blocks_followers(event) else ""
        if blocking:
            state.parked[scope, key] = event.position
        state.parked_events[scope, event.id] = event.position
        _park(changes, batch, stored, event.type, event.id, key=blocking, reason=str(error))


def _waits_for(state: State, event: Event, key: str) -> int | None:
    """Return the parked position that an event waits for: its key's first, or for vectors that of their cause."""
    scope = event.scope.key
    if event.type == "vectors.embedded" and event.causation:
        return state.parked_events.get((scope, event.causation))
    return state.parked.get((scope, key))


def _blocks_followers(event: Event) -> bool:
    """Tell whether later events of the same key build on this one: feedback, for one, stands alone."""
    return event.type not in {"feedback.given", "vectors.embedded", "extraction.failed"}


def _park(
    changes: Changes,
    batch: Batch,
    stored: Stored,
    kind: str,
    event_id: str = "",
    *,
    reason: str,
    key: str = "",
    waits_for: int | None = None,
) -> None:
    attempts = batch.attempts.get(stored.position, 0) + 1
    changes.add(
        "parked", stored.position, stored.owner, kind, key, reason, waits_for, stored.recorded, attempts, event_id
    )
