"""The envelope, and one class per event type and version: a discriminated union on ``type``.

Names follow CloudEvents 1.0 where it has one. ``position`` and ``recorded`` belong to the log: they are 0 and
None until an event has been read back from it.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, get_args

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from . import evolution_payloads, payloads
from .errors import InvalidEvent
from .ids import new_id
from .payloads import Frozen, Identifier, Moment
from .subjects import Scope, subject_of
from .upcast import UPCASTERS, Upcasters

DataT = TypeVar("DataT", bound=Frozen)
TypeT = TypeVar("TypeT", bound=str)
VersionT = TypeVar("VersionT", bound=int)


class Envelope(Frozen, Generic[DataT, TypeT, VersionT]):
    """What every event carries around its ``data``.

    ``time`` is when it happened in the world (the caller may give it), ``recorded`` when the server stored it.
    ``causation`` is the id of the event that led to this one, ``correlation`` that of the command behind both.
    """

    id: Identifier
    type: TypeT
    version: VersionT
    tenant: Annotated[str, Field(min_length=1)]
    user: Annotated[str, Field(min_length=1)]
    agent: str | None = None
    session: str | None = None
    time: Moment
    causation: str | None = None
    correlation: str | None = None
    actor: str = "memstream"
    data: DataT
    position: Annotated[int, Field(ge=0)] = 0
    recorded: AwareDatetime | None = None

    @property
    def scope(self) -> Scope:
        """Whose event this is."""
        return Scope(self.tenant, self.user)

    @property
    def subject(self) -> str:
        """The NATS subject that the event is stored under."""
        return subject_of(self.scope, self.type)

    @classmethod
    def of(
        cls,
        scope: Scope,
        data: DataT,
        *,
        id: str | None = None,  # noqa: A002 - the envelope's own word
        time: datetime | None = None,
        cause: "Envelope[Any, Any, Any] | None" = None,
        correlation: str | None = None,
        **labels: str | None,
    ) -> Self:
        """Build an event for ``scope``; ``cause`` hands on agent, session and correlation."""
        inherited: dict[str, str | None] = {}
        if cause is not None:
            inherited = {"agent": cause.agent, "session": cause.session, "causation": cause.id}
            correlation = correlation or cause.correlation or cause.id
        known = {name: value for name, value in {**inherited, **labels}.items() if value is not None}
        return cls.model_validate(
            {
                "id": id or new_id(),
                "type": type_name(cls),
                "version": get_args(cls.model_fields["version"].annotation)[0],
                "tenant": scope.tenant,
                "user": scope.user,
                "time": time or datetime.now(UTC),
                "correlation": correlation,
                "data": data,
                **known,
            }
        )

    def encode(self) -> bytes:
        """Return the bytes that the log stores: everything but what the log itself knows."""
        return self.__pydantic_serializer__.to_json(self, exclude={"position", "recorded"}, exclude_none=True)


def type_name(kind: type[Envelope[Any, Any, Any]]) -> str:
    """Return the event type that a class stands for."""
    return str(get_args(kind.model_fields["type"].annotation)[0])


class ResourceIngested(Envelope[payloads.ResourceIngestedData, Literal["resource.ingested"], Literal[1]]):
    """See ``payloads.ResourceIngestedData``."""


class ResourceDescribed(Envelope[payloads.ResourceDescribedData, Literal["resource.described"], Literal[1]]):
    """See ``payloads.ResourceDescribedData``."""


class ItemsExtracted(Envelope[payloads.ItemsExtractedData, Literal["items.extracted"], Literal[1]]):
    """See ``payloads.ItemsExtractedData``."""


class ExtractionFailed(Envelope[payloads.ExtractionFailedData, Literal["extraction.failed"], Literal[1]]):
    """See ``payloads.ExtractionFailedData``."""


class ItemReinforced(Envelope[payloads.ItemReinforcedData, Literal["item.reinforced"], Literal[1]]):
    """See ``payloads.ItemReinforcedData``."""


class ItemSuperseded(Envelope[payloads.ItemSupersededData, Literal["item.superseded"], Literal[1]]):
    """See ``payloads.ItemSupersededData``."""


class ItemRevised(Envelope[payloads.ItemRevisedData, Literal["item.revised"], Literal[1]]):
    """See ``payloads.ItemRevisedData``."""


class ItemForgotten(Envelope[payloads.ItemForgottenData, Literal["item.forgotten"], Literal[1]]):
    """See ``payloads.ItemForgottenData``."""


class CategoryCreated(Envelope[payloads.CategoryCreatedData, Literal["category.created"], Literal[1]]):
    """See ``payloads.CategoryCreatedData``."""


class CategorySummarized(Envelope[payloads.CategorySummarizedData, Literal["category.summarized"], Literal[1]]):
    """See ``payloads.CategorySummarizedData``."""


class ItemsRefiled(Envelope[payloads.ItemsRefiledData, Literal["items.refiled"], Literal[1]]):
    """See ``payloads.ItemsRefiledData``."""


class CategoriesMerged(Envelope[payloads.CategoriesMergedData, Literal["categories.merged"], Literal[1]]):
    """See ``payloads.CategoriesMergedData``."""


class CategorySplit(Envelope[payloads.CategorySplitData, Literal["category.split"], Literal[1]]):
    """See ``payloads.CategorySplitData``."""


class EvolutionTrialed(Envelope[evolution_payloads.EvolutionTrialedData, Literal["evolution.trialed"], Literal[1]]):
    """See ``evolution_payloads.EvolutionTrialedData``."""


class EvolutionReverted(Envelope[evolution_payloads.EvolutionRevertedData, Literal["evolution.reverted"], Literal[1]]):
    """See ``evolution_payloads.EvolutionRevertedData``."""


class EvolutionConfigured(
    Envelope[evolution_payloads.EvolutionConfiguredData, Literal["evolution.configured"], Literal[1]]
):
    """See ``evolution_payloads.EvolutionConfiguredData``."""


class VectorsEmbedded(Envelope[payloads.VectorsEmbeddedData, Literal["vectors.embedded"], Literal[1]]):
    """See ``payloads.VectorsEmbeddedData``."""


class RetrievalServed(Envelope[payloads.RetrievalServedData, Literal["retrieval.served"], Literal[1]]):
    """See ``payloads.RetrievalServedData``."""


class FeedbackGiven(Envelope[payloads.FeedbackGivenData, Literal["feedback.given"], Literal[1]]):
    """See ``payloads.FeedbackGivenData``."""


class UserErased(Envelope[payloads.UserErasedData, Literal["user.erased"], Literal[1]]):
    """See ``payloads.UserErasedData``."""


class HistoryErased(Envelope[payloads.HistoryErasedData, Literal["history.erased"], Literal[1]]):
    """See ``payloads.HistoryErasedData``."""


class EventRedacted(Envelope[payloads.EventRedactedData, Literal["event.redacted"], Literal[1]]):
    """See ``payloads.EventRedactedData``."""


class EventDropped(Envelope[payloads.EventDroppedData, Literal["event.dropped"], Literal[1]]):
    """See ``payloads.EventDroppedData``."""


class SpacePrepared(Envelope[payloads.SpacePreparedData, Literal["space.prepared"], Literal[1]]):
    """See ``payloads.SpacePreparedData``."""


class SpaceActivated(Envelope[payloads.SpaceActivatedData, Literal["space.activated"], Literal[1]]):
    """See ``payloads.SpaceActivatedData``."""


Event = (
    ResourceIngested
    | ResourceDescribed
    | ItemsExtracted
    | ExtractionFailed
    | ItemReinforced
    | ItemSuperseded
    | ItemRevised
    | ItemForgotten
    | CategoryCreated
    | CategorySummarized
    | ItemsRefiled
    | CategoriesMerged
    | CategorySplit
    | EvolutionTrialed
    | EvolutionReverted
    | EvolutionConfigured
    | VectorsEmbedded
    | RetrievalServed
    | FeedbackGiven
    | UserErased
    | HistoryErased
    | EventRedacted
    | EventDropped
    | SpacePrepared
    | SpaceActivated
)
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])
EVENT_TYPES: tuple[str, ...] = tuple(type_name(kind) for kind in get_args(Event))


def decode(body: bytes | str, *, upcasters: Upcasters = UPCASTERS) -> Event:
    """Parse stored bytes of any released version into today's event; raise InvalidEvent with the place."""
    try:
        return EVENT.validate_json(body)
    except ValidationError as error:
        first = error
    old = upcasters.lift_json(body)
    try:
        return EVENT.validate_python(old) if old is not None else _refuse(first)
    except ValidationError as error:
        return _refuse(error)


def _refuse(error: ValidationError) -> Event:
    detail = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in detail["loc"]) or "the body"
    raise InvalidEvent(f"not an event of memstream: {place}: {detail['msg']}") from error
