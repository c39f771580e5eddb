"""Images and recordings in words: an image is described, a recording transcribed, by the models named for that."""

import base64
import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final, NamedTuple

from openai import OpenAIError
from openai.types.chat import ChatCompletion

from memstream.events.errors import InvalidInput, ModelRequired
from memstream.events.payloads import Modality, TaskUsage
from memstream.events.publisher import no_reader
from memstream.events.types import ResourceIngested
from memstream.projections.words import count_tokens
from memstream.services.protocols import Caption
from memstream.services.spending import usage_of

from .client import Models
from .failures import Misbehaved, NotDescribed
from .profiles import Profile, Task
from .prompts import DESCRIBE, prompt
from .refusals import unavailable

_TASKS: Final[Mapping[Modality, Task]] = {"image": "vision", "audio": "transcribe"}
_ANSWER_TOKENS = 4_000
# Of a long answer nobody reads more: some hours of speech.
_LONGEST_CHARACTERS = 300_000


class _Heard(NamedTuple):
    text: str
    tokens_in: int
    tokens_out: int
    # Why there is no text.
    refused: str | None = None


class ModelMediaReader:
    """Puts into words what a model is named for."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def tell(self, event: ResourceIngested, content: bytes) -> Caption:
        """Return what a resource shows or says.

        Raises ModelRequired where no model is named, ModelUnavailable and LimitReached to try again later, and
        InvalidInput where the model will not, or cannot, put it into words.
        """
        task = _TASKS.get(event.data.modality)
        if task is None or task not in self._models.profiles:
            raise ModelRequired(no_reader(event.data.modality))
        profile = self._models.profiles[task]
        self._models.limits.check(event.scope)
        started = time.perf_counter()
        try:
            heard = await (self._look if task == "vision" else self._listen)(profile, event, content)
        except OpenAIError as error:
            raise _explained(unavailable(error, profile), event) from error
        spent = TaskUsage(
            task=task,
            model=profile.model,
            calls=1,
            tokens_in=heard.tokens_in,
            tokens_out=heard.tokens_out,
            seconds=round(time.perf_counter() - started, 6),
        )
        if heard.refused is not None:
            raise NotDescribed(
                f"{event.data.name!r} is stored, but the model does not describe it: {heard.refused}", spent
            )
        author = f"{profile.model} {DESCRIBE}" if task == "vision" else profile.model
        return Caption(heard.text.strip()[:_LONGEST_CHARACTERS], author, usage_of([spent], spent.seconds))

    async def _look(self, profile: Profile, event: ResourceIngested, content: bytes) -> _Heard:
        answered = await self._models.complete("vision", _looking(profile.model, event, content))
        return _seen(answered)

    async def _listen(self, profile: Profile, event: ResourceIngested, content: bytes) -> _Heard:
        data = event.data
        answered = await self._models.client("transcribe").audio.transcriptions.create(
            model=profile.model, file=(data.name, BytesIO(content), data.media_type)
        )
        # Some servers charge by the second, and count no tokens.
        asked, said = (getattr(answered.usage, name, None) for name in ("input_tokens", "output_tokens"))
        return _Heard(answered.text, asked or 0, count_tokens(answered.text) if said is None else said)


def _looking(model: str, event: ResourceIngested, content: bytes) -> dict[str, Any]:
    url = f"data:{event.data.media_type};base64,{base64.b64encode(content).decode()}"
    parts = [{"type": "text", "text": event.data.name}, {"type": "image_url", "image_url": {"url": url}}]
    messages = [{"role": "system", "content": prompt(DESCRIBE)}, {"role": "user", "content": parts}]
    return {"model": model, "messages": messages, "max_tokens": _ANSWER_TOKENS}


def _seen(answered: ChatCompletion) -> _Heard:
    choice = answered.choices[0] if answered.choices else None
    text = (choice.message.content if choice else None) or ""
    usage = answered.usage
    spent = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, count_tokens(text))
    if choice is None or choice.message.refusal or choice.finish_reason == "content_filter" or not text.strip():
        return _Heard("", *spent, refused=(choice.message.refusal if choice else None) or "it says nothing")
    return _Heard(text, *spent)


def _explained(error: Exception, event: ResourceIngested) -> Exception:
    # What the server refuses (a format, a size) it will refuse again.
    return InvalidInput(f"{event.data.name!r} cannot be read: {error}") if isinstance(error, Misbehaved) else error
