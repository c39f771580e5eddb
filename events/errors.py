"""Every error that memstream raises on purpose.

    MemstreamError
    ├── InvalidInput            the caller's mistake; nothing was written
    │   ├── InvalidScope        a tenant or user that can name nobody
    │   ├── InvalidEvent        bytes that are not an event of ours
    │   ├── TooLarge            a resource, an event or a batch over its limit
    │   ├── NotServed           feedback for ids that a retrieval did not return
    │   └── ModelRequired       asked for something that needs a language model
    ├── NotFound                no such id in this scope
    ├── Unavailable             try again later; the same call is safe to repeat
    │   ├── LogUnavailable      the NATS server does not answer
    │   ├── StorageFull         the disk or the stream's quota is full
    │   ├── Conflict            the log went on since what is to be appended was derived from it
    │   └── DataDirectoryInUse  another process owns the data directory
    ├── ProcessingFailed        accepted and kept in the log, but extraction gave up on it
    └── LogIntegrityError       the log lost data, was replaced, or could drop history

Each message says what was wrong, where, and the way out.
"""


class MemstreamError(Exception):
    """Base of all errors that memstream raises on purpose."""


class InvalidInput(MemstreamError):
    """The caller's mistake; nothing was written."""


class InvalidScope(InvalidInput):
    """A tenant or user that can name nobody."""


class InvalidEvent(InvalidInput):
    """Bytes that are not an event of ours, or an event that contradicts what came before."""


class TooLarge(InvalidInput):
    """A resource, an event or a batch over its limit."""


class NotServed(InvalidInput):
    """Feedback for ids that the retrieval did not return."""


class ModelRequired(InvalidInput):
    """Asked for something that needs a language model, and none is configured."""


class NotFound(MemstreamError):
    """No such id in this scope."""


class Unavailable(MemstreamError):
    """Not now; the same call is safe to repeat."""


class LogUnavailable(Unavailable):
    """The NATS server does not answer."""


class StorageFull(Unavailable):
    """The disk or the stream's quota is full; nothing of the call was kept."""

    # A nats-server that met a full disk refuses to write until it is started again (seen with 2.15).
    way_out = "free space, restart the NATS server (the embedded one: memstream itself), and repeat the call"


class Conflict(Unavailable):
    """The log went on since what is to be appended was derived from it; nothing was appended."""


class DataDirectoryInUse(Unavailable):
    """Another process owns the data directory."""


class ProcessingFailed(MemstreamError):
    """The input is safe in the log, but extraction gave up on it."""


class LogIntegrityError(MemstreamError):
    """The log lost data, was replaced, or is configured so that it could drop history."""
