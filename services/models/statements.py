"""What a model says of a transcript, and what of it is believed: only what names its lines, and speaks of them."""

import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator

from memstream.events.payloads import Kind, Rejected
from memstream.projections.words import content_words, identity
from memstream.services.protocols import Passage

from .orders import gives_orders
from .windows import Window

_KINDS = frozenset({"profile", "event", "knowledge", "behavior", "skill", "tool"})
# Of a statement's words with meaning, so many must stand in the transcript; fewer words than these are too few to tell.
_GROUNDED, _TELLING_WORDS = 0.2, 3
_LONGEST = 2_000
_IMPORTANT = 5


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _numbers(value: Any) -> list[int]:
    """Read line numbers as models write them: 3, "3", "[3]", "lines 3 and 4"."""
    return [int(one) for item in _listed(value) for one in re.findall(r"\d{1,9}", str(item))]


def _names(value: Any) -> list[str]:
    return [str(one) for one in _listed(value) if one]


def _kind(value: Any) -> str:
    return value if value in _KINDS else "knowledge"


def _importance(value: Any) -> int:
    found = _numbers(value)
    return min(_IMPORTANT, max(1, found[0])) if found else 3


class Said(BaseModel):
    """One statement as the model gives it."""

    text: str
    sources: Annotated[list[int], BeforeValidator(_numbers)]
    kind: Annotated[Literal["profile", "event", "knowledge", "behavior", "skill", "tool"], BeforeValidator(_kind)] = (
        "knowledge"
    )
    happened: Annotated[str, BeforeValidator(str)] = ""
    categories: Annotated[list[str], BeforeValidator(_names)] = []
    importance: Annotated[int, BeforeValidator(_importance)] = 3


class Statements(BaseModel):
    """What the model makes of a transcript."""

    statements: list[Said]


class Believed(NamedTuple):
    """A statement that names lines of the transcript which speak of it."""

    text: str
    kind: Kind
    passages: tuple[Passage, ...]
    happened: date | None
    categories: tuple[str, ...]
    importance: int

    @property
    def ordered(self) -> bool:
        """Tell whether it rests on nothing but text that gives a model orders."""
        return all(gives_orders(passage.text) for passage in self.passages)


def examine(window: Window, said: Iterable[Said]) -> tuple[list[Believed], list[Rejected]]:
    """Part what a model said into what is believed and what is not, with the reasons."""
    believed: list[Believed] = []
    rejected: list[Rejected] = []
    known = {word for passage in window.passages for word in content_words(f"{passage.text} {passage.speaker or ''}")}
    seen: set[str] = set()
    for one in said:
        text = " ".join(one.text.split())[:_LONGEST]
        passages = tuple(_cited(window, one))
        reason = _reason(text, passages, known, window, seen)
        if reason is not None:
            rejected.append(Rejected(text=text, reason=reason))
            continue
        seen.add(identity(text))
        categories = tuple(dict.fromkeys(one.categories))[:2]
        believed.append(Believed(text, one.kind, passages, _day(one.happened), categories, one.importance))
    return believed, rejected


def complaint(window: Window, said: Iterable[Said]) -> str | None:
    """Return what is wrong with an answer of which most is not believed; None when it will do."""
    statements = list(said)
    _, rejected = examine(window, statements)
    if not statements or len(rejected) * 2 <= len(statements):
        return None
    told = ", ".join(sorted({one.reason for one in rejected}))
    return (
        f"most statements are of no use ({told}); cite the numbers of the lines that say each, "
        "say nothing else, once, in the transcript's language"
    )


def _cited(window: Window, said: Said) -> Iterator[Passage]:
    for number in dict.fromkeys(said.sources):
        if (passage := window.passage(number)) is not None:
            yield passage


def _reason(
    text: str, passages: tuple[Passage, ...], known: set[str], window: Window, seen: set[str]
) -> Literal["no source", "not in the source", "another language", "said before"] | None:
    if not passages or not text:
        return "no source"
    if identity(text) in seen:
        return "said before"
    if _script(text) != _script(" ".join(passage.text for passage in window.passages)):
        return "another language"
    stated = set(content_words(text))
    if len(stated) >= _TELLING_WORDS and len(stated & known) < _GROUNDED * len(stated):
        return "not in the source"
    return None


def _script(text: str) -> str:
    """Return the script that most letters of a text are in: Latin, another below U+2E80, or one of East Asia."""
    letters = [ord(one) for one in text if one.isalpha()]
    if not letters:
        return "none"
    latin = sum(one < 0x250 for one in letters)  # noqa: PLR2004 - where Latin Extended-B ends
    eastern = sum(one >= 0x2E80 for one in letters)  # noqa: PLR2004 - where the scripts of East Asia begin
    return max((latin, "latin"), (eastern, "eastern"), (len(letters) - latin - eastern, "other"))[1]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        return None
