"""What commands return, and what they take beyond a scope."""

from datetime import datetime

from memstream.events.payloads import Frozen, Modality, Usage
from memstream.projections.models import Category, Item, Resource


class Input(Frozen):
    """What is to be memorized, beside its bytes."""

    modality: Modality
    name: str
    media_type: str | None = None
    session: str | None = None
    agent: str | None = None
    time: datetime | None = None


class Memorized(Frozen):
    """The result of ``memorize``; its shape never changes.

    ``duplicate`` tells that the same input was there already. Without waiting, new input comes back as soon as it is
    in the log, with no ``items`` and ``categories`` yet. ``events`` are the ids of the events of this call,
    ``position`` the log position to wait for.
    """

    resource: Resource
    items: tuple[Item, ...]
    categories: tuple[Category, ...]
    events: tuple[str, ...]
    position: int
    duplicate: bool
    usage: Usage


class FeedbackReceipt(Frozen):
    """Where the feedback is in the log; ``missed`` are the statements that ``missing`` was found to speak of."""

    event_id: str
    position: int
    missed: tuple[str, ...] = ()


class EventView(Frozen):
    """An event of the log as it is shown: the envelope, and the data as stored (vectors left out)."""

    position: int
    id: str
    type: str
    version: int
    time: datetime
    recorded: datetime | None
    agent: str | None = None
    session: str | None = None
    causation: str | None = None
    correlation: str | None = None
    actor: str
    data: dict[str, object]


class Status(Frozen):
    """The state of a service for one user: positions of log and projection, the user's events by type and in all."""

    version: str
    log_position: int
    projection_position: int
    lag: int
    messages: int
    events: dict[str, int]
    parked: int = 0
    failure: str | None = None
