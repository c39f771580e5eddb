"""Describing: cutting a resource into segments (for reading) and passages (for extraction), with exact spans."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from memstream.events.errors import InvalidInput
from memstream.events.ids import derived_id
from memstream.events.messages import Message, decode_messages
from memstream.events.payloads import Segment, Span, Usage
from memstream.events.types import ResourceIngested

from .local.statements import MAX_WORDS, statements
from .protocols import Passage

# A segment is what a person reads to judge a hit: some turns, or some paragraphs.
_MESSAGES = 6
_CHARACTERS = 1_600
_BEFORE_CHARACTERS = 280
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")
_LIST_LINE = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")


class Description(NamedTuple):
    """A resource in segments and passages; ``title`` is what it calls itself."""

    segments: list[Segment]
    passages: list[Passage]
    title: str
    describer: str
    usage: Usage | None = None


def describe(event: ResourceIngested, content: Path) -> Description:
    """Read a stored resource and cut it up; blocking. Raises InvalidInput for content that cannot be read."""
    data = event.data
    if data.modality == "conversation":
        messages = decode_messages(content.read_bytes(), data.media_type)
        segments, passages = describe_conversation(data.resource_id, messages, event.time)
        return Description(segments, passages, data.name, "messages-1")
    text, describer = read_document(content, data.media_type, data.name)
    segments, passages, title = describe_document(data.resource_id, text, event.time)
    return Description(segments, passages, title or stem(data.name), describer)


def describe_conversation(
    resource_id: str, messages: Sequence[Message], ingested: datetime
) -> tuple[list[Segment], list[Passage]]:
    """Cut a conversation into ranges of messages; a message without a time has that of the one before it."""
    times = _times(messages, ingested)
    segments: list[Segment] = []
    passages: list[Passage] = []
    for start, end in _message_ranges(messages):
        segment = Segment(
            id=derived_id(resource_id, "segment", len(segments)),
            index=len(segments),
            span=Span(unit="message", start=start, end=end),
            text="\n".join(f"{one.speaker}: {one.content.strip()}" for one in messages[start:end]),
            message_ids=tuple(_message_id(messages, place) for place in range(start, end)),
            speakers=tuple(dict.fromkeys(one.speaker for one in messages[start:end])),
            time=times[start],
        )
        segments.append(segment)
        for place in range(start, end):
            before = messages[place - 1] if place else None
            passages.append(
                Passage(
                    resource_id=resource_id,
                    segment=segment,
                    start=place,
                    end=place + 1,
                    text=messages[place].content,
                    speaker=messages[place].speaker,
                    role=messages[place].role,
                    message_id=_message_id(messages, place),
                    time=times[place],
                    before=f"{before.speaker}: {before.content[:_BEFORE_CHARACTERS]}" if before else "",
                )
            )
    return segments, passages


def describe_document(
    resource_id: str, text: str, ingested: datetime
) -> tuple[list[Segment], list[Passage], str | None]:
    """Cut a text into segments below its headings, and those into passages; returns its first heading, too."""
    segments: list[Segment] = []
    passages: list[Passage] = []
    headings: dict[int, str] = {}
    title: str | None = None
    for block in _grouped(text):
        heading = _HEADING.match(block[0].text)
        if heading:
            level = len(heading[1])
            headings = {depth: name for depth, name in headings.items() if depth < level} | {level: heading[2]}
            title = title or heading[2]
        start, end = block[0].start, block[-1].end
        segment = Segment(
            id=derived_id(resource_id, "segment", len(segments)),
            index=len(segments),
            span=Span(unit="character", start=start, end=end),
            text=text[start:end],
            time=ingested,
        )
        segments.append(segment)
        above = " › ".join(headings.values())
        passages += [
            Passage(resource_id, segment, piece.start, piece.end, piece.text, time=None, before=above)
            for part in block
            if not _HEADING.match(part.text)
            for piece in _pieces(part)
        ]
    return segments, passages, title


def read_document(content: Path, media_type: str, name: str) -> tuple[str, str]:
    """Return a document's text and what read it; HTML, PDF and DOCX go through markitdown."""
    if media_type in ("text/plain", "text/markdown"):
        return content.read_bytes().decode("utf-8-sig"), "text-1"
    try:
        text = _convert(content, media_type)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"{name!r} is {media_type}: reading it needs markitdown; pip install 'memstream[documents]'"
        ) from error
    except Exception as error:
        raise InvalidInput(f"{name!r} cannot be read as {media_type}: {type(error).__name__}: {error}") from error
    if not text.strip():
        raise InvalidInput(f"{name!r} holds no text (a scan needs a vision model)")
    return text, "markitdown-1"


def _convert(content: Path, media_type: str) -> str:
    """Convert with the one converter for this type: markitdown's own guessing would read a broken PDF as text."""
    from markitdown import StreamInfo, converters  # noqa: PLC0415 - heavy, and an extra of its own

    known = {"application/pdf": converters.PdfConverter, "text/html": converters.HtmlConverter}
    converter = known.get(media_type, converters.DocxConverter)()
    with content.open("rb") as stream:
        return str(converter.convert(stream, StreamInfo(mimetype=media_type)).markdown)


class _Block(NamedTuple):
    text: str
    start: int
    end: int


def _grouped(text: str) -> Iterator[list[_Block]]:
    """Yield runs of paragraphs up to a segment's size; a heading begins a new run."""
    run: list[_Block] = []
    for block in _blocks(text):
        full = run and block.end - run[0].start > _CHARACTERS
        if run and (full or _HEADING.match(block.text)):
            yield run
            run = []
        run.append(block)
    if run:
        yield run


def _blocks(text: str) -> Iterator[_Block]:
    """Yield paragraphs: lines without a blank one between them, a heading by itself, none longer than a segment."""
    start = end = -1
    for line_start, line_end in _lines(text):
        line = text[line_start:line_end]
        blank, heading = not line.strip(), _HEADING.match(line.rstrip()) is not None
        if start >= 0 and (blank or heading or line_end - start > _CHARACTERS):
            yield _block(text, start, end)
            start = -1
        if heading:
            yield _block(text, line_start, line_end)
        elif not blank:
            start = line_start if start < 0 else start
            end = line_end
    if start >= 0:
        yield _block(text, start, end)


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Yield the offsets of lines; one longer than a segment is cut."""
    start = 0
    while start <= len(text):
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop
        for piece in range(start, max(stop, start + 1), _CHARACTERS):
            yield piece, min(piece + _CHARACTERS, stop)
        start = stop + 1


def _block(text: str, start: int, end: int) -> _Block:
    stripped = text[start:end].rstrip()
    return _Block(stripped, start, start + len(stripped))


def _pieces(block: _Block) -> Iterator[_Block]:
    lines = block.text.split("\n")
    parts = [block]
    if sum(1 for line in lines if _LIST_LINE.match(line)) >= max(1, len(lines) // 2):
        offset, parts = block.start, []
        for line in lines:
            marker = _LIST_LINE.match(line)
            skipped = marker.end() if marker else 0
            parts.append(_Block(line[skipped:], offset + skipped, offset + len(line)))
            offset += len(line) + 1
    for part in parts:
        for piece in statements(part.text, MAX_WORDS):
            yield _Block(piece.text, part.start + piece.start, part.start + piece.end)


def _message_ranges(messages: Sequence[Message]) -> Iterator[tuple[int, int]]:
    start, size = 0, 0
    for place, message in enumerate(messages):
        if place > start and (place - start >= _MESSAGES or size + len(message.content) > _CHARACTERS):
            yield start, place
            start, size = place, 0
        size += len(message.content)
    yield start, len(messages)


def _times(messages: Sequence[Message], ingested: datetime) -> list[datetime]:
    times: list[datetime] = []
    current = next((message.time for message in messages if message.time), ingested)
    for message in messages:
        current = message.time or current
        times.append(current)
    return times


def _message_id(messages: Sequence[Message], place: int) -> str:
    return messages[place].id or f"m{place + 1}"


def stem(name: str) -> str:
    """Return a file's name without its folders and its ending."""
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0] or name
