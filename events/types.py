"""The envelope, and one class per event type and version: a discriminated union on ``type``.

Names follow CloudEvents 1.0 where it has one. ``position`` and ``recorded`` belong to the log: they are 0 and
None until an event has been read back from it.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from . import payloads
from .errors import InvalidEvent
from .ids import new_id
from .payloads import Frozen, Identifier
from .subjects import Scope, subject_of
from .upcast import UPCASTERS, Upcasters

DataT = TypeVar("DataT", bound=Frozen)


class Envelope(Frozen, Generic[DataT]):
    """What every event carries around its ``data``.

    ``time`` is when it happened in the world (the caller may give it), ``recorded`` when the server stored it.
    ``causation`` is the id of the event that led to this one, ``correlation`` that of the command behind both.
    """

    id: Identifier
    type: str
    version: int
    tenant: Annotated[str, Field(min_length=1)]
    user: Annotated[str, Field(min_length=1)]
    agent: str | None = None
    session: str | None = None
    time: AwareDatetime
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
        cause: "Envelope[Any] | None" = None,
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


class ResourceIngested(Envelope[payloads.ResourceIngestedData]):
    """See ``payloads.ResourceIngestedData``."""

    type: Literal["resource.ingested"] = "resource.ingested"
    version: Literal[1] = 1


class ResourceDescribed(Envelope[payloads.ResourceDescribedData]):
    """See ``payloads.ResourceDescribedData``."""

    type: Literal["resource.described"] = "resource.described"
    version: Literal[1] = 1


class ItemsExtracted(Envelope[payloads.ItemsExtractedData]):
    """See ``payloads.ItemsExtractedData``."""

    type: Literal["items.extracted"] = "items.extracted"
    version: Literal[1] = 1


class ExtractionFailed(Envelope[payloads.ExtractionFailedData]):
    """See ``payloads.ExtractionFailedData``."""

    type: Literal["extraction.failed"] = "extraction.failed"
    version: Literal[1] = 1


class ItemReinforced(Envelope[payloads.ItemReinforcedData]):
    """See ``payloads.ItemReinforcedData``."""

    type: Literal["item.reinforced"] = "item.reinforced"
    version: Literal[1] = 1


class ItemSuperseded(Envelope[payloads.ItemSupersededData]):
    """See ``payloads.ItemSupersededData``."""

    type: Literal["item.superseded"] = "item.superseded"
    version: Literal[1] = 1


class ItemRevised(Envelope[payloads.ItemRevisedData]):
    """See ``payloads.ItemRevisedData``."""

    type: Literal["item.revised"] = "item.revised"
    version: Literal[1] = 1


class ItemForgotten(Envelope[payloads.ItemForgottenData]):
    """See ``payloads.ItemForgottenData``."""

    type: Literal["item.forgotten"] = "item.forgotten"
    version: Literal[1] = 1


class CategoryCreated(Envelope[payloads.CategoryCreatedData]):
    """See ``payloads.CategoryCreatedData``."""

    type: Literal["category.created"] = "category.created"
    version: Literal[1] = 1


class CategorySummarized(Envelope[payloads.CategorySummarizedData]):
    """See ``payloads.CategorySummarizedData``."""

    type: Literal["category.summarized"] = "category.summarized"
    version: Literal[1] = 1


class ItemsRefiled(Envelope[payloads.ItemsRefiledData]):
    """See ``payloads.ItemsRefiledData``."""

    type: Literal["items.refiled"] = "items.refiled"
    version: Literal[1] = 1


class CategoriesMerged(Envelope[payloads.CategoriesMergedData]):
    """See ``payloads.CategoriesMergedData``."""

    type: Literal["categories.merged"] = "categories.merged"
    version: Literal[1] = 1


class CategorySplit(Envelope[payloads.CategorySplitData]):
    """See ``payloads.CategorySplitData``."""

    type: Literal["category.split"] = "category.split"
    version: Literal[1] = 1


class EvolutionTrialed(Envelope[payloads.EvolutionTrialedData]):
    """See ``payloads.EvolutionTrialedData``."""

    type: Literal["evolution.trialed"] = "evolution.trialed"
    version: Literal[1] = 1


class EvolutionReverted(Envelope[payloads.EvolutionRevertedData]):
    """See ``payloads.EvolutionRevertedData``."""

    type: Literal["evolution.reverted"] = "evolution.reverted"
    version: Literal[1] = 1


class VectorsEmbedded(Envelope[payloads.VectorsEmbeddedData]):
    """See ``payloads.VectorsEmbeddedData``."""

    type: Literal["vectors.embedded"] = "vectors.embedded"
    version: Literal[1] = 1


class RetrievalServed(Envelope[payloads.RetrievalServedData]):
    """See ``payloads.RetrievalServedData``."""

    type: Literal["retrieval.served"] = "retrieval.served"
    version: Literal[1] = 1


class FeedbackGiven(Envelope[payloads.FeedbackGivenData]):
    """See ``payloads.FeedbackGivenData``."""

    type: Literal["feedback.given"] = "feedback.given"
    version: Literal[1] = 1


class UserErased(Envelope[payloads.UserErasedData]):
    """See ``payloads.UserErasedData``."""

    type: Literal["user.erased"] = "user.erased"
    version: Literal[1] = 1


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
    | VectorsEmbedded
    | RetrievalServed
    | FeedbackGiven
    | UserErased
)
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])
EVENT_TYPES: tuple[str, ...] = tuple(str(cls.model_fields["type"].default) for cls in Event.__args__)


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
