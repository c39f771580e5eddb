"""Cutting text into statements, and telling small talk from what is worth an item."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from memstream.projections.words import content_words, words

# A statement of this many words still says one thing; longer messages lose recall as one vector.
MAX_WORDS = 60
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[^\sa-z])|\n+")
_SMALL_TALK = re.compile(
    r"""^(?:\W|\b(?:hi|hello|hey|hiya|yo|good\s(?:morning|afternoon|evening|night|day)|bye|goodbye|see\syou|see\sya|
    later|soon|take\scare|thanks?|thank\syou|thx|cheers|so\smuch|a\slot|you're\swelcome|no\sproblem|no\sworries|welcome|
    ok|okay|yes|yeah|yep|yup|no|nope|sure|right|cool|great|nice|wow|awesome|amazing|lol|haha+|hmm+|oh|ah|well|please|
    sorry|how\sare\syou|how's\sit\sgoing|how\sare\sthings|what's\sup|what\sabout\syou|and\syou|there|doing|today|
    too|again|all|everyone|very|really|that's|is|it|sounds|good|fine|perfect|exactly|indeed|absolutely|definitely|of\scourse|
    got\sit|i\ssee|for|the|help|your|you|to|same|here|nice\sto\smeet|good\sto\s(?:see|hear))\b)*$""",
    re.IGNORECASE | re.VERBOSE,
)


# "Good morning Mara!": the name of who is greeted says nothing either.
_ADDRESSED = re.compile(
    r"\b((?i:hi|hello|hey|hiya|morning|afternoon|evening|night|bye|goodbye|thanks|thank you|welcome)),?\s+[A-Z][\w'-]*"
)


class Piece(NamedTuple):
    """A stretch of a text, with its character offsets."""

    text: str
    start: int
    end: int


def sentences(text: str) -> Iterator[Piece]:
    """Yield the sentences of a text; line ends also end one."""
    start = 0
    for boundary in [*(match.span() for match in _SENTENCE_END.finditer(text)), (len(text), len(text))]:
        if piece := _trimmed(text, start, boundary[0]):
            yield piece
        start = boundary[1]


def statements(text: str, limit: int = MAX_WORDS) -> list[Piece]:
    """Cut a text into pieces of whole sentences, at most ``limit`` words where sentences allow."""
    if len(text.split()) <= limit:
        piece = _trimmed(text, 0, len(text))
        return [piece] if piece else []
    pieces: list[Piece] = []
    held = 0
    for sentence in sentences(text):
        for part in _halved(text, sentence, limit):
            size = len(part.text.split())
            if pieces and held + size <= limit:
                pieces[-1] = Piece(text[pieces[-1].start : part.end], pieces[-1].start, part.end)
                held += size
            else:
                pieces.append(part)
                held = size
    return pieces


def is_small_talk(text: str) -> bool:
    """Tell whether a text says nothing that anybody would look for."""
    return is_greeting(text) or not content_words(text)


def is_greeting(text: str) -> bool:
    """Tell whether a text is made of greetings, thanks and acknowledgements alone."""
    return not words(text) or _SMALL_TALK.match(_ADDRESSED.sub(r"\1", text.strip())) is not None


def _halved(text: str, piece: Piece, limit: int) -> Iterator[Piece]:
    """Yield a piece as it is, or in parts of ``limit`` words when no sentence end divides it."""
    tokens = list(re.finditer(r"\S+", piece.text))
    for first in range(0, len(tokens), limit):
        last = tokens[min(first + limit, len(tokens)) - 1]
        start, end = piece.start + tokens[first].start(), piece.start + last.end()
        yield Piece(text[start:end], start, end)


def _trimmed(text: str, start: int, end: int) -> Piece | None:
    inner = text[start:end]
    left = len(inner) - len(inner.lstrip())
    stripped = inner.strip()
    return Piece(stripped, start + left, start + left + len(stripped)) if stripped else None
