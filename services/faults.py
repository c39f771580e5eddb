"""Errors across a wire: each of ours keeps its class and message, over NATS and HTTP."""

from http import HTTPStatus
from typing import Final

from memstream.events import errors as e
from memstream.events.payloads import Frozen

_STATUS: Final[list[tuple[type[e.MemstreamError], HTTPStatus]]] = [
    (e.TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (e.NotServed, HTTPStatus.CONFLICT),
    (e.ModelRequired, HTTPStatus.NOT_IMPLEMENTED),
    (e.InvalidInput, HTTPStatus.UNPROCESSABLE_ENTITY),
    (e.NotFound, HTTPStatus.NOT_FOUND),
    (e.StorageFull, HTTPStatus.INSUFFICIENT_STORAGE),
    (e.Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (e.LogIntegrityError, HTTPStatus.SERVICE_UNAVAILABLE),
    (e.ProcessingFailed, HTTPStatus.UNPROCESSABLE_ENTITY),
    (e.MemstreamError, HTTPStatus.INTERNAL_SERVER_ERROR),
]
_BY_NAME: Final[dict[str, type[e.MemstreamError]]] = {
    name: value for name, value in vars(e).items() if isinstance(value, type) and issubclass(value, e.MemstreamError)
}


class Fault(Frozen):
    """An error as it travels: the class's name, and the sentence that says what was wrong and the way out."""

    type: str
    message: str

    @classmethod
    def of(cls, error: e.MemstreamError) -> "Fault":
        """Describe an error by its nearest public class."""
        public = next(one for one in type(error).__mro__ if one.__name__ in _BY_NAME)
        return cls(type=public.__name__, message=str(error))

    def error(self) -> e.MemstreamError:
        """Make the error again."""
        return _BY_NAME.get(self.type, e.MemstreamError)(self.message)


def status_of(error: e.MemstreamError) -> HTTPStatus:
    """Return the HTTP status of an error."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))
