"""Windows: a resource's passages in runs that one prompt holds, each passage in exactly one of them."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from memstream.projections.words import count_tokens
from memstream.services.protocols import Passage

# What one call reads: a session of a conversation, some pages of a document.
WINDOW_TOKENS = 3_000


class Window(NamedTuple):
    """Some passages in a row; a line of the prompt is numbered by its place in them, from 1."""

    passages: tuple[Passage, ...]

    def passage(self, number: int) -> Passage | None:
        """Return the passage of a line; None for a number that no line has."""
        return self.passages[number - 1] if 0 < number <= len(self.passages) else None

    @property
    def text(self) -> str:
        """The transcript: numbered lines, under the days on which they were said."""
        return "\n".join(self._lines())

    def halves(self) -> list["Window"]:
        """Return the two halves; none when there is but one passage."""
        middle = len(self.passages) // 2
        return [Window(self.passages[:middle]), Window(self.passages[middle:])] if middle else []

    def _lines(self) -> Iterator[str]:
        day: date | None = None
        above = ""
        for number, passage in enumerate(self.passages, start=1):
            if passage.time is not None and passage.time.date() != day:
                day = passage.time.date()
                yield f"[{day:%A, %Y-%m-%d}]"
            if passage.speaker is None and passage.before and passage.before != above:
                above = passage.before
                yield f"[{above}]"
            who = f"{passage.speaker}: " if passage.speaker else ""
            yield f"{number} {who}{' '.join(passage.text.split())}"


def windows(passages: Sequence[Passage], tokens: int = WINDOW_TOKENS) -> list[Window]:
    """Return the passages that say anything, in windows of about so many tokens."""
    found: list[Window] = []
    run: list[Passage] = []
    size = 0
    for passage in passages:
        length = count_tokens(passage.text)
        if run and size + length > tokens:
            found.append(Window(tuple(run)))
            run, size = [], 0
        if passage.text.strip():
            run.append(passage)
            size += length
    if run:
        found.append(Window(tuple(run)))
    return found
