"""Publishing from an agent runtime: resources and feedback as events, against any NATS server.

Needs neither a database nor a model. What was published is memorized by the services that follow the log.
"""

import codecs
import io
import mimetypes
from collections.abc import Collection, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self, get_args

from nats.aio.client import Client

from . import payloads
from .appending import Appended
from .errors import InvalidInput, TooLarge
from .ids import derived_id, new_id
from .log import EventLog
from .messages import JSON, JSONL, MessageLike, decode_messages, encode_messages, parse_messages
from .subjects import Scope
from .types import Event, FeedbackGiven, ResourceIngested

MAX_RESOURCE_BYTES = 64 * 1024 * 1024
_PROBE_BYTES = 8_192
_MEDIA_TYPES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".json": JSON,
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    # Those that Python does not know everywhere, or by other names.
    ".webp": "image/webp",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
}
_MAGIC = {
    "application/pdf": b"%PDF",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": b"PK",
}
DOCUMENT_TYPES = frozenset({"text/plain", "text/markdown", "text/html", *_MAGIC})
_IMAGES = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8", "image/webp": b"RIFF"}
# What only a model can put into words.
MEDIA: frozenset[payloads.Modality] = frozenset({"image", "audio", "video"})


class Published(NamedTuple):
    """What an ingestion left behind: the resource's id and digest, where its event is, and what the event says.

    ``known`` tells that this user's log held the bytes before.
    """

    resource_id: str
    digest: str
    size: int
    event: Appended
    ingested: ResourceIngested
    known: bool


class Labels(NamedTuple):
    """Where something came from: session and agent, the time it happened, and who published it."""

    session: str | None = None
    agent: str | None = None
    time: datetime | None = None
    actor: str | None = None


class EventPublisher:
    """Publishes events of one tenant. Open it with ``EventPublisher.connect``; it is an async context manager."""

    def __init__(
        self,
        log: EventLog,
        tenant: str = "default",
        *,
        max_bytes: int = MAX_RESOURCE_BYTES,
        media: Collection[payloads.Modality] = (),
    ) -> None:
        """Publish with a limit of size; ``media`` are the modalities that the extraction has a model for."""
        self.log = log
        self._tenant = tenant
        self._max_bytes = max_bytes
        self._media = media

    @classmethod
    async def connect(cls, server: str | Client, *, tenant: str = "default") -> Self:
        """Connect to a NATS server by URL or client; raise LogUnavailable when nobody answers."""
        return cls(await EventLog.open(server), tenant)

    async def publish(self, event: Event) -> Appended:
        """Append any event; acknowledged means on disk."""
        return await self.log.append(event)

    async def publish_conversation(
        self,
        user: str,
        messages: Sequence[MessageLike],
        *,
        name: str = "conversation",
        labels: Labels = Labels(),
    ) -> Published:
        """Publish a conversation: a list of ``{role, content, name?, time?, id?}``; ids and times are kept.

        The same messages again are the same resource. Raises InvalidInput naming the first bad message.
        """
        content = encode_messages(parse_messages(messages))
        return await self.publish_resource(
            user, io.BytesIO(content), modality="conversation", name=name, media_type=JSON, labels=labels
        )

    async def publish_resource(
        self,
        user: str,
        content: BinaryIO,
        *,
        modality: payloads.Modality,
        name: str,
        media_type: str | None = None,
        labels: Labels = Labels(),
    ) -> Published:
        """Publish the bytes of a seekable binary file: bytes into the object store, then the event.

        Raises InvalidInput for content that is not what its type says, TooLarge over the size limit; then
        nothing is written.
        """
        scope = Scope.of(self._tenant, user)
        kind = media_type or guess_media_type(name, modality)
        check_content(content, modality, kind, name, self._max_bytes, self._media)
        stored = await self.log.resources.put(scope, content)
        resource_id = resource_id_of(scope, modality, stored.digest)
        event = ResourceIngested.of(
            scope,
            payloads.ResourceIngestedData(
                resource_id=resource_id,
                digest=stored.digest,
                size=stored.size,
                modality=modality,
                media_type=kind,
                name=name,
            ),
            id=derived_id(resource_id, "resource.ingested"),
            # Bytes that were there may have their event, too, however long ago: without a time in its ids, the log
            # is searched for it.
            correlation=None if stored.known else new_id(),
            **_known(labels),
        )
        appended = await self.log.append(event)
        known = stored.known or appended.duplicate
        return Published(resource_id, stored.digest, stored.size, appended, event, known)

    async def publish_feedback(
        self,
        user: str,
        retrieval_id: str,
        *,
        used: Sequence[str] = (),
        helpful: Sequence[str] = (),
        wrong: Sequence[str] = (),
        missing: str | None = None,
        labels: Labels = Labels(),
    ) -> Appended:
        """Publish what became of a retrieval's hits; ids that were not served are parked by the projection."""
        data = payloads.FeedbackGivenData(
            retrieval_id=retrieval_id,
            used=tuple(used),
            helpful=tuple(helpful),
            wrong=tuple(wrong),
            missing=missing,
        )
        return await self.log.append(FeedbackGiven.of(Scope.of(self._tenant, user), data, **_known(labels)))

    async def close(self) -> None:
        """Close the connection."""
        await self.log.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def resource_id_of(scope: Scope, modality: str, digest: str) -> str:
    """Return the id of a resource: the same bytes of the same user are the same resource."""
    return derived_id(scope.key, "resource", modality, digest)


def guess_media_type(name: str, modality: payloads.Modality) -> str:
    """Guess the media type from a file name; plain JSON or text when the name says nothing."""
    suffix = "." + name.rpartition(".")[2].lower() if "." in name else ""
    guessed = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0]
    if modality == "conversation":
        return guessed if guessed in (JSON, JSONL) else JSON
    return guessed or "text/plain"


def check_content(
    content: BinaryIO,
    modality: payloads.Modality,
    media_type: str,
    name: str,
    max_bytes: int = MAX_RESOURCE_BYTES,
    media: Collection[payloads.Modality] = (),
) -> None:
    """Refuse what cannot be memorized, before anything is written; ``media`` can be put into words by a model."""
    size = content.seek(0, io.SEEK_END)
    content.seek(0)
    if size > max_bytes:
        raise TooLarge(
            f"{name!r} has {size / 2**20:,.1f} MiB, over the limit of {max_bytes / 2**20:,.0f} MiB: split it, "
            "or raise MEMSTREAM_MAX_RESOURCE_BYTES"
        )
    if size == 0:
        raise InvalidInput(f"{name!r} is empty: there is nothing to memorize")
    if modality == "conversation":
        decode_messages(content.read(), media_type)
        content.seek(0)
    elif modality == "document":
        _check_document(content, media_type, name)
    elif modality not in get_args(payloads.Modality):
        raise InvalidInput(f"unknown modality {modality!r}; known are {', '.join(get_args(payloads.Modality))}")
    elif modality not in media:
        raise InvalidInput(no_reader(modality))
    else:
        _check_media(content, modality, media_type, name)


def no_reader(modality: payloads.Modality) -> str:
    """Say why a modality cannot be read, and the way out."""
    if modality == "video":
        return "modality 'video' cannot be read yet: memorize its sound as audio, or some of its frames as images"
    setting = "MEMSTREAM_VISION_MODEL" if modality == "image" else "MEMSTREAM_TRANSCRIPTION_MODEL"
    return (
        f"modality {modality!r} needs a vision or transcription model, and none is configured: set {setting}, "
        "or memorize a transcript or caption as modality='document' instead"
    )


def _check_media(content: BinaryIO, modality: payloads.Modality, media_type: str, name: str) -> None:
    if not media_type.startswith(f"{modality}/") or (modality == "image" and media_type not in _IMAGES):
        known = "PNG, JPEG, GIF or WebP" if modality == "image" else "MP3, WAV, M4A or OGG"
        raise InvalidInput(
            f"{name!r} is {media_type}, which is no {modality} that can be read: give {known}, by its name"
        )
    magic = _IMAGES.get(media_type, b"")
    head = content.read(len(magic))
    content.seek(0)
    if head != magic:
        raise InvalidInput(f"{name!r} is called {media_type} but does not start like one: is it damaged or renamed?")


def _check_document(content: BinaryIO, media_type: str, name: str) -> None:
    if media_type not in DOCUMENT_TYPES:
        raise InvalidInput(
            f"{name!r} is {media_type}, which memstream cannot read: give plain text, Markdown, HTML, PDF or DOCX"
        )
    if (magic := _MAGIC.get(media_type)) is not None:
        head = content.read(len(magic))
        content.seek(0)
        if head != magic:
            raise InvalidInput(
                f"{name!r} is called {media_type} but does not start like one: is it damaged or renamed?"
            )
        return
    _check_text(content, name)


def _check_text(content: BinaryIO, name: str) -> None:
    """Refuse binary data, streamed: a NUL byte or bytes that are no UTF-8."""
    decoder, offset, blank = codecs.getincrementaldecoder("utf-8")(), 0, True
    while chunk := content.read(_PROBE_BYTES * 16):
        if (place := chunk.find(b"\0")) >= 0:
            raise InvalidInput(f"{name!r} is not text: it has a NUL byte at offset {offset + place}")
        try:
            blank = blank and not decoder.decode(chunk).strip()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{name!r} is not UTF-8 text: bad bytes near offset {offset + error.start}") from error
        offset += len(chunk)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name!r} is not UTF-8 text: it ends inside a character") from error
    content.seek(0)
    if blank:
        raise InvalidInput(f"{name!r} has only blanks: there is nothing to memorize")


def _known(labels: Labels) -> dict[str, Any]:
    return {name: value for name, value in labels._asdict().items() if value is not None}
