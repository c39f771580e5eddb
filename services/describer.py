"""Describing a stored resource: by its bytes, or by what a model once said that they show.

An image or a recording is put into words by a model once. The words are in ``resource.described``, and whoever goes
over the resource again reads them there: the model might say something else, and would cost again.
"""

import asyncio
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from memstream.events.errors import InvalidInput
from memstream.events.log import EventLog
from memstream.events.payloads import ResourceDescribedData, Segment
from memstream.events.publisher import MEDIA, no_reader
from memstream.events.types import ResourceDescribed, ResourceIngested

from .describing import Description, describe, describe_document, stem
from .protocols import Caption, MediaReader


class Describer:
    """Describes resources; without a ``media`` reader only those that are text in some form."""

    def __init__(self, log: EventLog, media: MediaReader | None = None) -> None:
        self._log = log
        self._media = media

    async def describe(self, event: ResourceIngested) -> Description:
        """Return a resource in segments and passages.

        Raises InvalidInput for content that no attempt can read, Unavailable while a model is away.
        """
        if event.data.modality not in MEDIA:
            return await self._cut(event)
        told = await recorded(self._log, event) or await self._told(event)
        segments, passages, _ = describe_document(event.data.resource_id, told.text, event.time)
        return Description(segments, passages, stem(event.data.name), told.author, told.usage)

    async def _cut(self, event: ResourceIngested) -> Description:
        with tempfile.TemporaryFile() as bytes_:
            await self._log.resources.get(event.scope, event.data.digest, bytes_)
            path = Path(f"/dev/fd/{bytes_.fileno()}")
            bytes_.seek(0)
            return await asyncio.to_thread(describe, event, path)

    async def _told(self, event: ResourceIngested) -> Caption:
        if self._media is None:
            raise InvalidInput(no_reader(event.data.modality))
        content = io.BytesIO()
        await self._log.resources.get(event.scope, event.data.digest, content)
        return await self._media.tell(event, content.getvalue())


async def recorded(log: EventLog, event: ResourceIngested) -> Caption | None:
    """Return what the log says that a resource shows; None when it does not, or not all of it."""
    parts: dict[int, ResourceDescribedData] = {}
    async for one in log.read(after=event.position, scope=event.scope, types=["resource.described"]):
        if isinstance(one, ResourceDescribed) and one.data.resource_id == event.data.resource_id:
            parts.setdefault(one.data.part, one.data)
    if 0 not in parts or len(parts) < parts[0].parts:
        return None
    segments = [segment for number in sorted(parts) for segment in parts[number].segments]
    return Caption(joined(segments), parts[0].describer, parts[0].usage)


def joined(segments: Sequence[Segment]) -> str:
    """Return the text that was cut into segments: between them there were only line ends."""
    text = ""
    for segment in sorted(segments, key=lambda one: one.index):
        text += "\n" * (segment.span.start - len(text)) + segment.text
    return text
