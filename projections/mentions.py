"""Which statements a text speaks of in words that are theirs: what an asker says was missing is found next time."""

from typing import cast

import numpy as np

from .corpus import Flags
from .ranking import best
from .statements import Statements
from .words import content_words

# Nobody misses more at once: what stands further below is not looked for.
_LINES = 16
_CONSIDERED = 20
_MOST = 5
# So much of a statement's words, or of a line's, the other one has to hold.
_COVERED = 0.8
_FEWEST_WORDS = 2


def mentioned(statements: Statements, text: str, as_of: int) -> list[str]:
    """Return the ids of the statements that lived at a moment and that a line of a text speaks of, line by line."""
    visible = statements.visible(as_of)
    lines = [line for line in text.splitlines() if line.strip()][:_LINES]
    rows = [row for line in lines for row in _spoken_of(statements, line, visible)]
    return list(dict.fromkeys(statements.ids[row] for row in rows))


def _spoken_of(statements: Statements, line: str, visible: Flags) -> list[int]:
    words = frozenset(content_words(line))
    if len(words) < _FEWEST_WORDS:
        return []
    scores = statements.text.match(words, visible).scores
    rows = best(np.where(scores > 0, scores, -np.inf).astype(np.float32), _CONSIDERED)
    return [row for row in rows.tolist() if _covers(words, statements.shown[row])][:_MOST]


def _covers(words: frozenset[str], shown: tuple[object, ...]) -> bool:
    """Tell whether a line quotes nearly all of a statement, or a statement says nearly all of a line."""
    _, text, speaker, _ = cast("tuple[str, str, str | None, object]", shown)
    own = frozenset(content_words(text))
    shared = len(words & own)
    said = len(words & (own | frozenset(content_words(speaker or ""))))
    return shared >= _FEWEST_WORDS and (shared >= _COVERED * len(own) or said >= _COVERED * len(words))
