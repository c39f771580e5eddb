"""Quoting: from an item's source back to the very words, read from the original bytes of the resource."""

import io
from datetime import datetime
from typing import NamedTuple

from memstream.events.messages import decode_messages
from memstream.projections.models import Resource, SourceRef
from memstream.services.synchronous import User


class Quote(NamedTuple):
    """The words behind an item: where they are, who said them and when."""

    place: str
    speaker: str | None
    time: datetime | None
    text: str


class Originals:
    """A user's resources as they came, each fetched once."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._fetched: dict[str, tuple[Resource, bytes]] = {}

    def quote(self, source: SourceRef) -> Quote:
        """Return the words that a source points at; raises NotFound when its resource is gone."""
        resource, content = self._fetch(source.resource_id)
        if source.span.unit == "message":
            return _quoted_messages(source, resource, content)
        text = content.decode("utf-8-sig")[source.span.start : source.span.end]
        place = f"{resource.name}, {source.span.unit}s {source.span.start}–{source.span.end}"
        return Quote(place, None, source.time or resource.time, text)

    def _fetch(self, resource_id: str) -> tuple[Resource, bytes]:
        if resource_id not in self._fetched:
            buffer = io.BytesIO()
            resource = self._user.content(resource_id, buffer)
            self._fetched[resource_id] = (resource, buffer.getvalue())
        return self._fetched[resource_id]


def _quoted_messages(source: SourceRef, resource: Resource, content: bytes) -> Quote:
    messages = decode_messages(content, resource.media_type)[source.span.start : source.span.end]
    place = f"message {', '.join(source.message_ids)} of {resource.name}"
    if resource.session:
        place += f", session {resource.session}"
    return Quote(place, messages[0].speaker, source.time, "\n".join(one.content for one in messages))
