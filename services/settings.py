"""Settings: from the environment (``MEMSTREAM_…``) or handed in; every default works on one machine."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from memstream.events.publisher import MAX_RESOURCE_BYTES


class Settings(BaseSettings):
    """What a process of memstream may be told.

    ``nats_url`` None starts the embedded server in ``data_dir``; the projections live there in either case.
    """

    model_config = SettingsConfigDict(env_prefix="MEMSTREAM_", extra="ignore")

    nats_url: str | None = None
    data_dir: Path = Path("data")
    tenant: Annotated[str, Field(min_length=1)] = "default"
    host: str = "127.0.0.1"
    # 0 takes a free port.
    port: Annotated[int, Field(ge=0, le=65_535)] = 8377
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    max_resource_bytes: Annotated[int, Field(gt=0)] = MAX_RESOURCE_BYTES
    # Above this many parked events the service calls itself not ready.
    max_parked: Annotated[int, Field(ge=0)] = 100
    # A user's memory evolves by itself after so many further pieces of feedback; 0: only when somebody asks for it.
    evolve_after: Annotated[int, Field(ge=0)] = 100
    # How many resources one extraction worker has in work at once.
    extraction_concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    # Language models, by OPENAI_BASE_URL and OPENAI_API_KEY; a file of profiles names others, task by task.
    llm_model: str | None = None
    embedding_model: str | None = None
    embedding_dimension: Annotated[int | None, Field(ge=1, le=65_536)] = None
    transcription_model: str | None = None
    vision_model: str | None = None
    models_file: Path | None = None
    # Ceilings of a day (UTC): above them extraction waits for the next, and questions do without a model.
    max_tokens_per_day: Annotated[int | None, Field(ge=1)] = None
    max_tokens_per_user_per_day: Annotated[int | None, Field(ge=1)] = None
