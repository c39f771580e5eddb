"""The AsyncAPI document of the events, made by FastStream from the event models themselves."""

import json
from typing import Any, get_args

from faststream import AsyncAPI
from faststream.nats import NatsBroker
from pydantic import BaseModel

from memstream import __version__
from memstream.events.subjects import ROOT
from memstream.events.types import Event, type_name


def asyncapi_document() -> dict[str, Any]:
    """Return the document: one channel per event type, with the schema of its envelope and data."""
    broker = NatsBroker()
    for kind in get_args(Event):
        name = type_name(kind)
        publisher = broker.publisher(
            f"{ROOT}.<tenant>.<user>.{name}", schema=kind, title=name, description=_meaning(kind)
        )
        assert publisher is not None
    specification = AsyncAPI(broker, title="memstream", version=__version__)
    return dict(json.loads(specification.to_specification().to_json()))


def _meaning(kind: type[BaseModel]) -> str:
    payload = kind.model_fields["data"].annotation
    return (payload.__doc__ or "").strip() if payload else ""
