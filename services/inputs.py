"""What a caller may hand to ``memorize``: messages, text, bytes or a file; opened, named and typed."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, cast, get_args

from memstream.events.errors import InvalidInput
from memstream.events.messages import JSON, MessageLike, encode_messages, parse_messages
from memstream.events.payloads import Modality

from .results import Input

Content = Sequence[MessageLike] | str | bytes | PathLike[str]
_CONVERSATION_FILES = {".json", ".jsonl", ".ndjson"}
_IMAGE, _AUDIO, _VIDEO = (
    {".png", ".jpg", ".jpeg", ".gif", ".webp"},
    {".mp3", ".wav", ".m4a", ".ogg"},
    {".mp4", ".mov", ".webm"},
)


@contextmanager
def opened(
    content: Content,
    *,
    modality: str | None = None,
    name: str | None = None,
    media_type: str | None = None,
    session: str | None = None,
    agent: str | None = None,
    time: datetime | None = None,
) -> Iterator[tuple[BinaryIO, Input]]:
    """Open content as a seekable file and say what it is; raises InvalidInput for what can't be memorized."""
    _check_text(name=name, session=session, agent=agent, text=content if isinstance(content, str) else None)
    chosen = modality_of(modality, content)
    labels: dict[str, Any] = {"session": session, "agent": agent, "time": time}
    if isinstance(content, PathLike):
        path = Path(content)
        with _open_file(path) as stream:
            yield (
                stream,
                Input(
                    modality=chosen,
                    name=name or path.name.encode("utf-8", "replace").decode(),
                    media_type=media_type,
                    **labels,
                ),
            )
        return
    if isinstance(content, str | bytes):
        raw = content.encode() if isinstance(content, str) else content
        yield (
            io.BytesIO(raw),
            Input(modality=chosen, name=name or _default_name(chosen), media_type=media_type, **labels),
        )
        return
    encoded = encode_messages(parse_messages(content))
    yield io.BytesIO(encoded), Input(modality=chosen, name=name or "conversation", media_type=JSON, **labels)


def _check_text(**values: str | None) -> None:
    for label, value in values.items():
        try:
            (value or "").encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"{label} holds half of a surrogate pair at character {error.start}, which is no text; repair its encoding"
            ) from error


def modality_of(given: str | None, content: Content) -> Modality:
    """Return the modality given, or guess it from the content or its file's name; raises InvalidInput."""
    known = get_args(Modality)
    if given is not None and given not in known:
        raise InvalidInput(f"unknown modality {given!r}; known are {', '.join(known)}")
    if given is not None:
        if given != "conversation" and not isinstance(content, str | bytes | PathLike):
            raise InvalidInput(f"a list of messages is a conversation, not modality {given!r}")
        return cast("Modality", given)
    if isinstance(content, PathLike):
        return _modality_of_suffix(Path(content).suffix.lower())
    return "document" if isinstance(content, str | bytes) else "conversation"


def _modality_of_suffix(suffix: str) -> Modality:
    groups: list[tuple[set[str], Modality]] = [
        (_CONVERSATION_FILES, "conversation"),
        (_IMAGE, "image"),
        (_AUDIO, "audio"),
        (_VIDEO, "video"),
    ]
    for suffixes, modality in groups:
        if suffix in suffixes:
            return modality
    return "document"


def _open_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise InvalidInput(f"no file {str(path)!r}") from error
    except IsADirectoryError as error:
        raise InvalidInput(f"{str(path)!r} is a directory: name its files") from error
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror}") from error


def _default_name(modality: Modality) -> str:
    return "conversation.json" if modality == "conversation" else f"{modality}.txt"
