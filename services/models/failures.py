"""What a language model's failure means to whoever asked, each with what the attempt cost."""

from memstream.events.errors import MemstreamError, Unavailable
from memstream.events.payloads import TaskUsage


class ModelUnavailable(Unavailable):
    """The endpoint does not answer, is busy, or refuses the key: the same call may work later."""


class LimitReached(Unavailable):
    """The tokens of the day are used up; work goes on when they are not any more."""


class _Failed(MemstreamError):
    usage: TaskUsage | None = None


class Truncated(_Failed):
    """The answer was cut off: ask for less at once."""


class TooLong(_Failed):
    """The prompt does not fit: send less at once."""


class Declined(_Failed):
    """The model, or its content filter, will not answer this."""


class Misbehaved(_Failed):
    """The answer cannot be used, nor can its repair."""
