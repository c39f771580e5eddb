"""Scopes and subjects: who an event belongs to, and the NATS subject that says so.

A subject is ``memstream.<tenant>.<user>.<type>``. Tenant and user may be any Unicode text; their tokens are
encoded reversibly, so that dots, spaces and wildcards in an id can never reach another user's events.
"""

import base64
import binascii
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from .errors import InvalidScope

ROOT = "memstream"
MAX_ID_CHARACTERS = 512
# nats-server refuses protocol lines over 4,096 bytes by default; the verb, reply and sizes need some of that.
MAX_SUBJECT_BYTES = 3_800

_PACKED = "~"
_PACK_OVER = 96
_TOKEN = re.compile(r"[A-Za-z0-9_\-%~]+")


@lru_cache(maxsize=4_096)
def encode_token(text: str) -> str:
    """Encode any non-empty Unicode text as one subject token; ``decode_token`` gives it back exactly.

    Letters, digits, ``-`` and ``_`` stay readable, the rest is percent-encoded UTF-8. Long ids that would
    grow threefold are base64url behind ``~`` instead.
    """
    if not text:
        raise InvalidScope("an empty id names nobody: give a non-empty tenant and user")
    raw = text.encode("utf-8", "surrogatepass")
    # quote() leaves '.' and '~' alone; both have a meaning here.
    readable = quote(raw, safe="").replace(".", "%2E").replace("~", "%7E")
    if len(readable) <= max(_PACK_OVER, len(raw)):
        return readable
    return _PACKED + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_token(token: str) -> str:
    """Invert ``encode_token``; raise InvalidScope for a token that it cannot have made."""
    if not _TOKEN.fullmatch(token):
        raise InvalidScope(f"{token!r} is not a subject token of memstream")
    try:
        if token.startswith(_PACKED):
            packed = token[1:]
            raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        else:
            raw = unquote_to_bytes(token)
        return raw.decode("utf-8", "surrogatepass")
    except (UnicodeDecodeError, binascii.Error) as error:
        raise InvalidScope(f"{token!r} is not a subject token of memstream: {error}") from error


class Scope(NamedTuple):
    """Whose memory: the hard wall around every read and write. Build it with ``Scope.of``."""

    tenant: str
    user: str

    @classmethod
    def of(cls, tenant: str, user: str) -> "Scope":
        """Check and build a scope; raise InvalidScope for an empty, blank, non-text or oversized id."""
        for name, value in (("tenant", tenant), ("user", user)):
            _check_id(name, value)
        scope = cls(tenant, user)
        if len(scope.key) + len(ROOT) + 32 > MAX_SUBJECT_BYTES:
            raise InvalidScope(
                f"tenant and user need {len(scope.key)} bytes in a subject, over {MAX_SUBJECT_BYTES}; use shorter ids"
            )
        return scope

    @property
    def key(self) -> str:
        """The scope as two subject tokens: unique, and safe inside a subject, a file name or a SQL literal."""
        return _key(self)

    @classmethod
    def from_key(cls, key: str) -> "Scope":
        """Invert ``key``."""
        tenant, _, user = key.partition(".")
        return cls.of(decode_token(tenant), decode_token(user))


# Whose events are those about the service itself.
OPERATOR = Scope("memstream", "operator")


@lru_cache(maxsize=4_096)
def _key(scope: Scope) -> str:
    return f"{encode_token(scope.tenant)}.{encode_token(scope.user)}"


def subject_of(scope: Scope, event_type: str) -> str:
    """Return the subject of one event type of one user."""
    return f"{ROOT}.{scope.key}.{event_type}"


def user_subjects(scope: Scope) -> str:
    """Return the filter for everything of one user, and of nobody else."""
    return f"{ROOT}.{scope.key}.>"


def parse_subject(subject: str) -> tuple[Scope, str]:
    """Split a subject into scope and event type; raise InvalidScope when it is not one of ours."""
    root, _, rest = subject.partition(".")
    parts = rest.split(".", 2)
    if root != ROOT or len(parts) != 3:  # noqa: PLR2004 - tenant, user, type
        raise InvalidScope(f"{subject!r} is not a subject of memstream: expected {ROOT}.<tenant>.<user>.<type>")
    return Scope(decode_token(parts[0]), decode_token(parts[1])), parts[2]


def _check_id(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidScope(f"{name} must be text, got {type(value).__name__}")
    if not value.strip():
        raise InvalidScope(f"{name} is empty: an empty scope matches nobody; give a non-empty {name}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidScope(f"{name} {value!r} holds half of a surrogate pair, which is no text; repair its encoding")
    if len(value) > MAX_ID_CHARACTERS:
        raise InvalidScope(
            f"{name} has {len(value)} characters, over {MAX_ID_CHARACTERS}; use a shorter id or its hash"
        )
