"""What a language model's failure means to whoever asked, each with what the attempt cost."""

from memstream.events.errors import InvalidInput, MemstreamError, Unavailable
from memstream.events.payloads import TaskUsage


class ModelUnavailable(Unavailable):
    """The endpoint does not answer, is busy, or refuses the key: the same call may work later."""


class LimitReached(Unavailable):
    """The tokens of the day are used up; work goes on when they are not any more."""


class NotDescribed(InvalidInput):
    """A model will not put an image or a recording into words; ``usage`` is what asking cost."""

    def __init__(self, reason: str, usage: TaskUsage) -> None:
        super().__init__(reason)
        self.usage = usage


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
