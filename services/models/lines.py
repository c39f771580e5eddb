"""The lines of a category file, and the changes that a model may make to them.

A change is checked against the statements it was shown: a line cites what exists, keeps what it cited unless there is
a reason, and a file never shrinks by more than half without one.
"""

import re
from collections.abc import Container, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator

from memstream.projections.models import Category

_CITED = re.compile(r"\s*\[\^([^\]\s]+)\]")
_UNSOURCED = "[^?]"
_LONGEST = 600


def _numbers(value: Any) -> list[int]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return [int(one) for item in values for one in re.findall(r"\d{1,9}", str(item))]


def _number(value: Any) -> int:
    found = _numbers(value)
    return found[0] if found else 0


class Change(BaseModel):
    """One change to one page: ``line`` counts from 1, and is 0 for a new one."""

    page: Annotated[int, BeforeValidator(_number)]
    op: Literal["add", "replace", "remove"]
    line: Annotated[int, BeforeValidator(_number)] = 0
    text: Annotated[str, BeforeValidator(lambda value: " ".join(str(value or "").split())[:_LONGEST])] = ""
    cites: Annotated[list[int], BeforeValidator(_numbers)] = []
    reason: Annotated[str, BeforeValidator(lambda value: str(value or "").strip())] = ""


class Changes(BaseModel):
    """What a model changes."""

    changes: list[Change]


class Line(NamedTuple):
    """A line of a file: its text without citations, and the items that it cites."""

    text: str
    citations: tuple[str, ...]


class Draft(NamedTuple):
    """What a page's changes are checked against: its lines, and the items that may be cited, by number from 1."""

    lines: Sequence[Line]
    known: Sequence[str]


def lines_of(text: str, live: Container[str]) -> list[Line]:
    """Return the lines of a file that still rest on something."""
    found: list[Line] = []
    for raw in text.splitlines():
        if not raw.startswith("- "):
            continue
        citations = tuple(one for one in _CITED.findall(raw) if one in live)
        if citations:
            found.append(Line(_CITED.sub("", raw[2:]).strip(), citations))
    return found


def numbered(line: Line, numbers: Mapping[str, int]) -> str:
    """Return a line with the numbers of its citations, as a model is shown it."""
    return f"{line.text} [{', '.join(str(numbers[one]) for one in line.citations)}]"


def complaint(drafts: Sequence[Draft], changes: Sequence[Change]) -> str | None:
    """Return what is wrong with changes that cite nothing, or nothing that exists; None when they will do."""
    for change in changes:
        if not 0 < change.page <= len(drafts):
            return f"there is no page {change.page}"
        draft = drafts[change.page - 1]
        if change.op != "remove" and not _cited(change, draft.known):
            return f"the line {change.text[:80]!r} cites no statement; give the numbers of those that it rests on"
        if change.op != "add" and not 0 < change.line <= len(draft.lines):
            return f"page {change.page} has no line {change.line}"
        if change.op == "remove" and not change.reason:
            return f"line {change.line} of page {change.page} is removed without a reason"
    return None


def applied(lines: Sequence[Line], changes: Sequence[Change], known: Sequence[str]) -> list[Line]:
    """Return the lines after the changes that are allowed; a line without a source stays, and says so."""
    found: list[Line | None] = list(lines)
    added: list[Line] = []
    for change in changes:
        cited = _cited(change, known)
        fresh = Line(change.text if cited else f"{change.text} {_UNSOURCED}", cited)
        if change.op == "add" and change.text:
            added.append(fresh)
        elif change.op == "replace" and 0 < change.line <= len(lines) and change.text and cited:
            before = lines[change.line - 1].citations
            kept = () if change.reason and set(before) & set(cited) else before
            found[change.line - 1] = Line(change.text, tuple(dict.fromkeys([*kept, *cited])))
        elif change.op == "remove" and change.reason and 0 < change.line <= len(lines):
            found[change.line - 1] = None
    left = [line for line in found if line is not None]
    if 2 * _size([*left, *added]) < _size(lines):
        # More than half of it would go: the lines stay, and what is new comes below.
        return [*lines, *added]
    return [*left, *added]


def rendered(category: Category, lines: Sequence[Line]) -> tuple[str, tuple[str, ...]]:
    """Return a page as Markdown, and what it cites."""
    body = [f"- {line.text}{''.join(f' [^{one}]' for one in line.citations)}" for line in lines]
    text = "\n".join([f"# {category.name}", "", category.description, "", *body]) + "\n"
    return text, tuple(dict.fromkeys(one for line in lines for one in line.citations))


def _cited(change: Change, known: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(known[number - 1] for number in change.cites if 0 < number <= len(known)))


def _size(lines: Sequence[Line]) -> int:
    return sum(len(line.text) for line in lines)
