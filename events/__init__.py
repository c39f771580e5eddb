"""The contract and the log: needs pydantic and nats-py alone, so that any agent runtime can publish.

``EventPublisher`` is what a runtime uses; ``EventLog`` reads and appends; ``types`` and ``payloads`` are the events.
"""

from .appending import Appended
from .errors import (
    DataDirectoryInUse,
    InvalidEvent,
    InvalidInput,
    InvalidScope,
    LogIntegrityError,
    LogUnavailable,
    MemstreamError,
    ModelRequired,
    NotFound,
    NotServed,
    ProcessingFailed,
    StorageFull,
    TooLarge,
    Unavailable,
)
from .log import EventLog
from .messages import Message
from .publisher import EventPublisher
from .subjects import Scope
from .types import EVENT_TYPES, Event, decode

__all__ = [
    "EVENT_TYPES",
    "Appended",
    "DataDirectoryInUse",
    "Event",
    "EventLog",
    "EventPublisher",
    "InvalidEvent",
    "InvalidInput",
    "InvalidScope",
    "LogIntegrityError",
    "LogUnavailable",
    "MemstreamError",
    "Message",
    "ModelRequired",
    "NotFound",
    "NotServed",
    "ProcessingFailed",
    "Scope",
    "StorageFull",
    "TooLarge",
    "Unavailable",
    "decode",
]
