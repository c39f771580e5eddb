"""Each configured model, tried for real: does it answer, how is its output structured, how fast, at what price."""

import time
from collections.abc import Mapping

from openai import OpenAIError
from pydantic import BaseModel

from memstream.events.errors import MemstreamError
from memstream.events.subjects import OPERATOR
from memstream.services.settings import Settings

from .client import Models
from .embedder import EndpointEmbedder
from .failures import Declined, Misbehaved, TooLong, Truncated
from .profiles import CHAT_TASKS, Profile, Task, profiles_in
from .refusals import unavailable


class _Sum(BaseModel):
    sum: int


async def check_models(settings: Settings) -> list[tuple[str, bool, str]]:
    """Return a finding for each task: its name, whether it works, and what was found."""
    profiles = profiles_in(settings)
    # One profile may do several tasks: those that chat are one trial, what embeds, hears or sees is another.
    tried: dict[tuple[Profile, str], tuple[bool, str]] = {}
    findings: list[tuple[str, bool, str]] = []
    models = Models(_impatient(profiles))
    try:
        for task, profile in models.profiles.items():
            key = (profile, "chat" if task in CHAT_TASKS else task)
            if key not in tried:
                tried[key] = await _tried(models, task)
            findings.append((f"model to {task}", *tried[key]))
    finally:
        await models.close()
    return findings


def _impatient(profiles: Mapping[Task, Profile]) -> dict[Task, Profile]:
    # Whoever asks how things are wants to hear it now.
    return {task: one.model_copy(update={"retries": 0}) for task, one in profiles.items()}


async def _tried(models: Models, task: Task) -> tuple[bool, str]:
    profile = models.profiles[task]
    where = f"{profile.model} at {profile.endpoint}"
    started = time.perf_counter()
    try:
        if task == "embed":
            embedder = await EndpointEmbedder.open(models)
            await embedder.embed(["a first text"])
            told = f"{embedder.space.dimension} dimensions"
        elif task in ("transcribe", "vision"):
            told = await _listed(models, task)
        else:
            answer = await models.ask(task, OPERATOR, "You add numbers.", "What is 2 + 3?", _Sum, max_tokens=200)
            told = f"{models.mode(task)} output{'' if answer.value.sum == 5 else ', and thinks 2 + 3 is otherwise'}"  # noqa: PLR2004 - 2 + 3
    except (MemstreamError, Declined, Misbehaved, TooLong, Truncated) as error:
        return False, f"{error}" if where in f"{error}" else f"{where}: {error}"
    seconds = time.perf_counter() - started
    return True, f"{where}: {told}, {1_000 * seconds:.0f} ms{_price(profile)}"


async def _listed(models: Models, task: Task) -> str:
    """Look a model up in its server's list: a recording or an image to try it with would cost more."""
    profile = models.profiles[task]
    try:
        found = await models.client(task).models.list()
    except OpenAIError as error:
        raise unavailable(error, profile) from error
    known = any(one.id == profile.model for one in found.data)
    return "listed" if known else "answers, but does not list this model"


def _price(profile: Profile) -> str:
    if profile.price_in is None and profile.price_out is None:
        return ""
    return f", ${profile.price_in or 0:g} in and ${profile.price_out or 0:g} out per 1M tokens"
