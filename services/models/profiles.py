"""Which model does what: profiles by name, tasks that use them; from the environment or a TOML file.

[profiles.cheap]
model = "gpt-4.1-mini"
price_in = 0.40             # dollars for a million tokens, for the reports
price_out = 1.60
[profiles.strong]
model = "deepseek-chat"
base_url = "https://api.deepseek.com/v1"
api_key_env = "DEEPSEEK_API_KEY"
[tasks]
extract = "cheap"
judge = "strong"
embed = "none"              # the local embedder
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memstream.events.errors import InvalidInput
from memstream.services.settings import Settings

Task = Literal["extract", "summarize", "judge", "rank", "embed", "transcribe", "vision"]
TASKS: Final[tuple[Task, ...]] = get_args(Task)
# What a chat model does when no other is named for it.
CHAT_TASKS: Final[tuple[Task, ...]] = ("extract", "summarize", "judge", "rank")
_NONE = "none"
Mode = Literal["json_schema", "json_object", "text"]


class Profile(BaseModel):
    """One model at one endpoint. ``base_url`` None is OpenAI's own; prices are dollars for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, Field(min_length=1)]
    base_url: str | None = None
    api_key: Annotated[str | None, Field(repr=False)] = None
    api_key_env: str = "OPENAI_API_KEY"
    timeout: Annotated[float, Field(gt=0, le=3_600)] = 60.0
    # The openai package waits as long as Retry-After says, or twice as long each time.
    retries: Annotated[int, Field(ge=0, le=20)] = 4
    # None: found out with the first call.
    structured: Mode | None = None
    dimension: Annotated[int | None, Field(ge=1, le=65_536)] = None
    price_in: Annotated[float | None, Field(ge=0)] = None
    price_out: Annotated[float | None, Field(ge=0)] = None

    @property
    def key(self) -> str | None:
        """The API key: its own, or that of its environment variable."""
        return self.api_key or os.environ.get(self.api_key_env)

    @property
    def endpoint(self) -> str:
        """Where its server is, as a person knows it."""
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    profiles: dict[str, Profile]
    tasks: dict[Task | Literal["default"], str] = {}


def profiles_of(tasks: Mapping[Task, str | None], file: Path | None) -> dict[Task, Profile]:
    """Return the profile of each task that has one: the file's first, then the model named for the task.

    Raises InvalidInput for a file that cannot be read, an unknown task or a profile that does not exist.
    """
    found: dict[Task, Profile] = {task: Profile(model=model) for task, model in tasks.items() if model}
    if file is not None:
        found |= _from_file(file)
    return found


def chat_tasks(model: str | None) -> dict[Task, str | None]:
    """Return one model for everything that a chat model does."""
    return dict.fromkeys(CHAT_TASKS, model)


def _from_file(path: Path) -> dict[Task, Profile]:
    read = _read(path)
    named = dict(read.tasks)
    default = named.pop("default", next(iter(read.profiles)) if len(read.profiles) == 1 else None)
    wanted: dict[Task, str] = dict.fromkeys(CHAT_TASKS, default) if default else {}
    for task in TASKS:
        if task in named:
            wanted[task] = named[task]
    for task, name in wanted.items():
        if name != _NONE and name not in read.profiles:
            raise InvalidInput(
                f"{path}: task {task!r} names profile {name!r}, which does not exist; "
                f"known are {', '.join(sorted(read.profiles))}, and 'none'"
            )
    return {task: read.profiles[name] for task, name in wanted.items() if name != _NONE}


def _read(path: Path) -> _File:
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return _File.model_validate(document)
    except OSError as error:
        raise InvalidInput(f"the models file {str(path)!r} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the models file {str(path)!r} is no TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"the models file {str(path)!r}: {place}: {first['msg']}") from error


def profiles_in(settings: Settings) -> dict[Task, Profile]:
    """Return the profile of each task that the settings name a model for; raises InvalidInput."""
    named: dict[Task, str | None] = {
        **chat_tasks(settings.llm_model),
        "embed": settings.embedding_model,
        "transcribe": settings.transcription_model,
        "vision": settings.vision_model,
    }
    found = profiles_of(named, settings.models_file)
    if "embed" in found and settings.embedding_dimension:
        found["embed"] = found["embed"].model_copy(update={"dimension": settings.embedding_dimension})
    return found
