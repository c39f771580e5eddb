"""Names of categories that evolution makes: what sets their statements apart, and when they were said.

Short on purpose: every name and description is read with every directory.
"""

import math
from collections import Counter
from collections.abc import Sequence

from .evidence import Facts

_WORDS = 3
_LONGEST = 60


def named(rows: Sequence[int], facts: Facts) -> tuple[str, str]:
    """Return name and description of a category that holds some statements: typical words, and their days."""
    common = facts.frequencies
    counts = Counter(word for row in rows for word in facts.telling[row])
    weight = {word: count * math.log(1 + len(facts) / common[word]) for word, count in counts.items()}
    best = sorted(weight, key=lambda word: (-weight[word], word))[:_WORDS]
    name = " ".join(_spelled(stem, rows, facts) for stem in best)[:_LONGEST].strip() or "statements"
    return name, _days(rows, facts)


def _spelled(stem: str, rows: Sequence[int], facts: Facts) -> str:
    """Return a word as it is written most often."""
    counts = Counter(facts.spelled[row][stem] for row in rows if stem in facts.spelled[row])
    return min(counts, key=lambda word: (-counts[word], word))


def _days(rows: Sequence[int], facts: Facts) -> str:
    days = sorted({facts.rows[row].day for row in rows if facts.rows[row].day})
    if not days:
        return "undated"
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
