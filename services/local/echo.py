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


# "chat-1, 2024-05-01 [^…]" above a quoted segment.
_LONGEST_HEADER = 6


class Stripped(NamedTuple):
    """A passage without what it merely repeats, and the ids that it repeated."""

    text: str
    echoes: tuple[str, ...]


def strip_echoes(text: str, role: str | None, served: ServedStatements) -> Stripped:
    """Take out what merely repeats recalled memory, and keep every other word as it is.

    Agents echo: assistants, tools and system prompts. A person who says the same says it anew; a person's message is
    looked through only when our own ``context`` stands in it.
    """
    if not served or (role == "user" and not any(heading in text for heading in HEADINGS)):
        return Stripped(text, ())
    if role == "tool" and (known := [one for one in served.ids if one in text]):
        # The result of a recall, as JSON or in whatever form: it names the ids that it returned.
        return Stripped("", tuple(sorted(known)))
    kept: list[str] = []
    echoes: list[str] = []
    for part in _parts(text):
        echoed = _echoed(part, served, person=role == "user")
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


def _echoed(sentence: str, served: ServedStatements, *, person: bool) -> str | None:
    """Return the id that a sentence repeats ("" for a heading of ``context``); None when it is its own."""
    if sentence.strip() in HEADINGS:
        return ""
    cited: list[str] = [one for one in _CITATION.findall(sentence) if one in served.ids]
    plain = fingerprint(_CITATION.sub(" ", sentence))
    if cited and sentence.rstrip().endswith(f"[^{cited[-1]}]") and len(plain.split()) <= _LONGEST_HEADER:
        return cited[-1]
    if (known := served.equal(plain)) is not None:
        return known.id if not person or known.speaker is None else None
    for statement, one in served.inside(plain):
        # "You told me that …", a date, a name: a little around it is still an echo.
        extra = len(plain.split()) - len(statement.split())
        if (cited or not person) and extra <= max(6, len(statement.split()) // 2):
            return one.id
    return None
