"""Identifiers: random and time-ordered for what happens once, derived for what may be retried."""

import os
import time
from datetime import UTC, datetime
from uuid import UUID, uuid5

_NAMESPACE = UUID("6d656d73-7472-5561-8d00-6576656e7473")
_SEPARATOR = "\x1f"
_VERSION_7 = 7


def new_id() -> str:
    """Return a fresh UUIDv7 (RFC 9562, section 5.7): sortable by creation time, in milliseconds."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & ((1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | (_VERSION_7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return str(UUID(int=value))


def derived_id(*parts: str | int) -> str:
    """Return the UUIDv5 of the parts: the same parts give the same id, so a retried step repeats itself."""
    return str(uuid5(_NAMESPACE, _SEPARATOR.join(str(part) for part in parts)))


def time_of(identifier: str | None) -> datetime | None:
    """Return when a UUIDv7 was made (UTC); None for any other id, which carries no time."""
    try:
        value = UUID(identifier or "")
    except ValueError:
        return None
    if value.version != _VERSION_7:
        return None
    return datetime.fromtimestamp((value.int >> 80) / 1000, tz=UTC)
