"""What thinks in this process: rules alone, or language models where the settings name some.

The openai package is loaded only then: who uses no model needs none of it.
"""

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memstream.events.errors import InvalidInput, ModelRequired
from memstream.events.log import EventLog
from memstream.events.payloads import Modality, SpaceActivatedData
from memstream.events.subjects import OPERATOR
from memstream.events.types import SpaceActivated, VectorsEmbedded

from .asking import Advisor
from .embedders import EmbedderChoice
from .local.extractor import RuleExtractor
from .pages import FileWriter
from .protocols import Embedder, Extractor, MediaReader
from .reads import Port
from .settings import Settings

if TYPE_CHECKING:
    from .models.client import Models
    from .models.profiles import Task

logger = logging.getLogger("memstream.thinking")


@dataclass(frozen=True)
class Thinking:
    """The models of one process, as those who use them know them; None of it is there without a setting."""

    models: "Models | None" = None
    advisor: Advisor | None = None
    writer: FileWriter | None = None
    media: MediaReader | None = None
    endpoint: Embedder | None = None
    endpoint_name: str = ""
    others: dict[str, Embedder] = field(default_factory=dict)

    def extractor(self, port: Port, embedder: Embedder) -> Extractor:
        """Return the extractor that this process uses."""
        if self.models is None or not self.models.chats:
            return RuleExtractor(embedder)
        from .models.extractor import ModelExtractor  # noqa: PLC0415 - loads the openai package

        return ModelExtractor(self.models, port, embedder)

    @property
    def modalities(self) -> frozenset[Modality]:
        """Return the modalities beside text that a model is named for."""
        tasks: dict[Task, Modality] = {"vision": "image", "transcribe": "audio"}
        named = self.models.profiles if self.models else {}
        return frozenset(modality for task, modality in tasks.items() if task in named)

    @property
    def prices(self) -> dict[str, tuple[float | None, float | None]]:
        """Dollars for a million tokens in and out, by model."""
        profiles = self.models.profiles.values() if self.models else ()
        return {one.model: (one.price_in, one.price_out) for one in profiles}

    def prompted(self, port: Port, embedder: Embedder, version: str | None) -> Extractor:
        """Return the model's extractor with a version of its prompt; raises ModelRequired, and InvalidInput."""
        if self.models is None or not self.models.chats:
            raise ModelRequired(
                "prompts are a language model's, and none is configured: set MEMSTREAM_LLM_MODEL, or name an --extractor"
            )
        from .models.extractor import ModelExtractor  # noqa: PLC0415 - loads the openai package
        from .models.prompts import EXTRACT, versions  # noqa: PLC0415 - beside it

        wanted = version or EXTRACT
        known = [one for one in versions() if one.startswith("extract-")]
        if wanted not in known:
            raise InvalidInput(f"no prompt version {wanted!r}; known are {', '.join(known)}")
        return ModelExtractor(self.models, port, embedder, wanted)

    async def embedder_choice(self, log: EventLog, local: Embedder) -> EmbedderChoice:
        """Return the embedders; a new memory is embedded by the endpoint, where there is one.

        A memory that holds vectors keeps its space until ``memstream reembed`` switches it.
        """
        choice = EmbedderChoice(local, self.others)
        if self.endpoint is None or await _activated(log):
            return choice
        held = await _first_vectors(log)
        if held is not None and held.data.space != self.endpoint.space:
            logger.warning(
                "memory is embedded with %s; switch it with: memstream reembed --model %s",
                held.data.space.model,
                self.endpoint_name,
            )
            return choice
        data = SpaceActivatedData(space=self.endpoint.space, embedder=self.endpoint_name)
        await log.append(SpaceActivated.of(OPERATOR, data))
        return choice


async def open_thinking(settings: Settings, log: EventLog, stack: AsyncExitStack) -> Thinking:
    """Open the models that the settings name; raises InvalidInput, also when the openai package is missing."""
    from .models.profiles import profiles_in  # noqa: PLC0415 - beside the others

    if not profiles_in(settings):
        return Thinking()
    try:
        from .models.assembly import open_models  # noqa: PLC0415 - loads the openai package
    except ModuleNotFoundError as error:
        raise InvalidInput("language models need the openai package: pip install 'memstream[models]'") from error
    return await open_models(settings, log, stack)


async def _activated(log: EventLog) -> bool:
    async for event in log.read(types=["space.activated"]):
        if isinstance(event, SpaceActivated):
            return True
    return False


async def _first_vectors(log: EventLog) -> VectorsEmbedded | None:
    async for event in log.read(types=["vectors.embedded"]):
        if isinstance(event, VectorsEmbedded):
            return event
    return None
