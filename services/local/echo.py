"""Recognising recalled memory that an agent says again, so that it is not memorized as something new.

A loop of recall and extraction otherwise fills a memory with its own words.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from memstream.projections.words import fingerprint
from memstream.services.context import HEADINGS
from memstream.services.served import ServedStatements, ServedText

from .statements import sentences

# What ``context`` puts behind everything that it quotes.
_CITATION = re.compile(r"\[\^([^\]\s]+)\]")


class Stripped(NamedTuple):
    """A passage without what it merely repeats, and the ids that it repeated."""

    text: str
    echoes: tuple[str, ...]


def strip_echoes(text: str, speaker: str | None, served: ServedStatements) -> Stripped:
    """Take out the sentences that repeat what recall returned, and keep every other word as it is.

    The same words from the one who first said them are no echo: a person may say a thing twice.
    """
    if not served:
        return Stripped(text, ())
    kept: list[str] = []
    echoes: list[str] = []
    for part in _parts(text):
        echoed = _echoed(part, speaker, served)
        if echoed is None:
            kept.append(part)
        else:
            echoes.append(echoed)
    return Stripped("\n".join(kept), tuple(dict.fromkeys(filter(None, echoes)))) if echoes else Stripped(text, ())


def served_statements(served: Iterable[tuple[str, str, str | None]]) -> ServedStatements:
    """Index recalled texts (id, text, speaker) whole, by sentence and by line."""
    texts: list[ServedText] = []
    for identifier, text, speaker in served:
        parts = [text, *(piece.text for piece in sentences(text)), *text.split("\n")]
        texts += [ServedText(identifier, part, speaker) for part in parts]
    return ServedStatements(texts)


def _parts(text: str) -> Iterator[str]:
    """Yield sentences; a line that ``context`` may have written, or that was served whole, is one part."""
    for line in text.split("\n"):
        if line.strip() in HEADINGS or _CITATION.search(line):
            yield line
        else:
            yield from (piece.text for piece in sentences(line))


def _echoed(sentence: str, speaker: str | None, served: ServedStatements) -> str | None:
    """Return the id that a sentence repeats ("" for a heading of ``context``); None when it is its own."""
    if sentence.strip() in HEADINGS:
        return ""
    cited: list[str] = _CITATION.findall(sentence)
    if known_ids := [identifier for identifier in cited if identifier in served.ids]:
        return known_ids[0]
    plain = fingerprint(sentence)
    if (known := served.equal(plain)) is not None:
        return known.id if known.speaker is None or known.speaker != speaker else None
    for statement, one in served.inside(plain):
        # "You told me that …", a date, a name: a little around it is still an echo.
        extra = len(plain.split()) - len(statement.split())
        if one.speaker != speaker and extra <= max(6, len(statement.split()) // 2):
            return one.id
    return None
