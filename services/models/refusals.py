"""What an endpoint's errors mean: for later, for never, or for the same question in other words."""

from openai import APIConnectionError, APIStatusError, BadRequestError, NotFoundError, OpenAIError

from memstream.events.errors import MemstreamError

from .failures import Misbehaved, ModelUnavailable
from .profiles import Profile

_BUSY, _SERVER_ERROR = 429, 500


def refused_option(error: BadRequestError) -> str | None:
    """Return which of the options that it could do without a model refuses; None when that is not the matter."""
    return next(
        (one for one in ("max_tokens", "temperature") if error.param == one or f"'{one}'" in error.message), None
    )


def is_too_long(error: APIStatusError) -> bool:
    """Tell whether a prompt did not fit."""
    told = f"{error.code} {error.message}".casefold()
    return "context_length" in told or "context length" in told or "maximum context" in told or "context size" in told


def is_missing_model(error: APIStatusError) -> bool:
    """Tell whether the server does not know the model, or the path."""
    return isinstance(error, NotFoundError) or (error.code or "") == "model_not_found"


def unavailable(error: OpenAIError, profile: Profile) -> MemstreamError:
    """Return what a failed call means: later, or never."""
    where = f"{profile.model} at {profile.endpoint}"
    if isinstance(error, APIConnectionError):
        return ModelUnavailable(f"{where} does not answer: {error}")
    if isinstance(error, APIStatusError):
        told = f"{where} answers {error.status_code}: {error.message}"
        if error.status_code in (401, 403, 404):
            return ModelUnavailable(f"{told}; check the key, the base URL and the model's name with 'memstream doctor'")
        if error.status_code == _BUSY or error.status_code >= _SERVER_ERROR:
            return ModelUnavailable(told)
        return Misbehaved(told)
    return ModelUnavailable(f"{where}: {error}")
