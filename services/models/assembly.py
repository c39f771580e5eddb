"""The models that settings name, put together."""

from contextlib import AsyncExitStack

from memstream.events.log import EventLog
from memstream.services.settings import Settings
from memstream.services.thinking import Thinking

from .advisor import ModelAdvisor
from .client import Models
from .embedder import PREFIX, EndpointEmbedder
from .limits import DailyLimits
from .media import ModelMediaReader
from .profiles import profiles_in
from .writer import ModelWriter


async def open_models(settings: Settings, log: EventLog, stack: AsyncExitStack) -> Thinking:
    """Open the models of this process; what they cost is counted where a ceiling is set."""
    profiles = profiles_in(settings)
    limits = None
    if settings.max_tokens_per_day is not None or settings.max_tokens_per_user_per_day is not None:
        limits = DailyLimits(per_user=settings.max_tokens_per_user_per_day, total=settings.max_tokens_per_day)
        await limits.start(log)
    models = Models(profiles, limits)
    stack.push_async_callback(models.close)
    endpoint = await EndpointEmbedder.open(models) if "embed" in profiles else None
    name = f"{PREFIX}{profiles['embed'].model}" if endpoint is not None else ""
    return Thinking(
        models=models,
        advisor=ModelAdvisor(models) if models.chats else None,
        writer=ModelWriter(models) if models.chats else None,
        media=ModelMediaReader(models),
        endpoint=endpoint,
        endpoint_name=name,
        others={name: endpoint} if endpoint is not None else {},
    )
