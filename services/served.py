"""What recall has returned to a user, ready to be recognised when an agent says it again."""

from collections.abc import Iterable
from typing import NamedTuple

from memstream.projections.words import fingerprint

# Shorter statements ("I like tea") also occur by chance inside other sentences.
_HEAD = 5


class ServedText(NamedTuple):
    """A statement or a line of a segment that recall returned; ``speaker`` None: whoever repeats it, it is an echo."""

    id: str
    text: str
    speaker: str | None


class ServedStatements:
    """Finds recalled statements in new text: whole, or inside a sentence by their first words."""

    def __init__(self, served: Iterable[ServedText] = ()) -> None:
        self.ids: set[str] = set()
        self._whole: dict[str, ServedText] = {}
        self._by_head: dict[tuple[str, ...], list[tuple[str, ServedText]]] = {}
        for one in served:
            self.ids.add(one.id)
            self._add(one)

    def __bool__(self) -> bool:
        return bool(self._whole)

    def equal(self, sentence: str) -> ServedText | None:
        """Return the recalled statement that has exactly these words (a fingerprint)."""
        return self._whole.get(sentence)

    def inside(self, sentence: str) -> Iterable[tuple[str, ServedText]]:
        """Yield the recalled statements (as fingerprints) that a sentence (a fingerprint) contains."""
        words = sentence.split()
        for start in range(len(words) - _HEAD + 1):
            for statement, one in self._by_head.get(tuple(words[start : start + _HEAD]), ()):
                if f" {statement} " in f" {sentence} ":
                    yield statement, one

    def _add(self, one: ServedText) -> None:
        key = fingerprint(one.text)
        if not key or key in self._whole:
            return
        self._whole[key] = one
        words = key.split()
        if len(words) >= _HEAD:
            self._by_head.setdefault(tuple(words[:_HEAD]), []).append((key, one))
