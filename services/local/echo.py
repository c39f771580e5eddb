"""Recognising recalled memory that an agent says again, so that it is not memorized as something new.

A loop of recall and extraction otherwise fills a memory with its own words.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from memstream.projections.words import fingerprint

from .statements import sentences

# Shorter statements ("I like tea") also occur by chance inside other sentences.
_SHORTEST_INSIDE = 5
# What ``context`` puts behind every statement that it quotes.
_CITATION = re.compile(r"\[\^?(?:item:)?[0-9a-f]{8}(?:-[0-9a-f]{4}){0,3}(?:-[0-9a-f]{12})?\]")


class Stripped(NamedTuple):
    """A passage without what it merely repeats, and the items that it repeated."""

    text: str
    echoes: tuple[str, ...]


def strip_echoes(text: str, speaker: str | None, served: Mapping[str, tuple[str, str | None]]) -> Stripped:
    """Take out the sentences that repeat recalled statements, and keep every other word as it is.

    The same words from the one who first said them are no echo: a person may say a thing twice.
    """
    if not served:
        return Stripped(text, ())
    kept: list[str] = []
    echoes: list[str] = []
    for part in _parts(text):
        item = _echoed(part, speaker, served)
        if item is None:
            kept.append(part)
        else:
            echoes.append(item)
    return Stripped("\n".join(kept), tuple(dict.fromkeys(echoes))) if echoes else Stripped(text, ())


def _parts(text: str) -> Iterator[str]:
    """Yield sentences; a line that cites an item is one part, as ``context`` wrote it."""
    for line in text.split("\n"):
        if _CITATION.search(line):
            yield line
        else:
            yield from (piece.text for piece in sentences(line))


def _echoed(sentence: str, speaker: str | None, served: Mapping[str, tuple[str, str | None]]) -> str | None:
    cited = _CITATION.search(sentence) is not None
    plain = fingerprint(_CITATION.sub(" ", sentence))
    if (known := served.get(plain)) is not None:
        item, original = known
        return item if cited or original != speaker else None
    for statement, (item, original) in served.items():
        inside = len(statement.split()) >= _SHORTEST_INSIDE and _contains(plain, statement)
        if inside and (cited or original != speaker) and _mostly(plain, statement, cited=cited):
            return item
    return None


def _contains(sentence: str, statement: str) -> bool:
    return f" {statement} " in f" {sentence} "


def _mostly(sentence: str, statement: str, *, cited: bool) -> bool:
    """Tell whether the statement makes up most of the sentence ("You told me that …", a date, a name)."""
    extra = len(sentence.split()) - len(statement.split())
    return cited or extra <= max(6, len(statement.split()) // 2)


def served_index(items: Sequence[tuple[str, str, str | None]]) -> dict[str, tuple[str, str | None]]:
    """Index recalled items (id, text, speaker) by the fingerprint of each of their sentences and of the whole."""
    index: dict[str, tuple[str, str | None]] = {}
    for identifier, text, speaker in items:
        for part in (text, *(piece.text for piece in sentences(text))):
            if key := fingerprint(part):
                index.setdefault(key, (identifier, speaker))
    return index
