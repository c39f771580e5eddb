"""BM25 over one user's own statistics (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009).

LanceDB finds the candidates, but its scores use word counts of everybody's texts: one user's ranking would move with
what others say. The score is therefore computed again from the candidates and this user's number of texts alone.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from .words import content_words

_K1 = 1.2
_B = 0.75


def bm25(query: Sequence[str], texts: Mapping[str, str], total: int) -> dict[str, float]:
    """Score texts against the query's words; ``total`` is how many texts there are, matching or not."""
    counts = {key: _counts(text) for key, text in texts.items()}
    lengths = {key: sum(held.values()) for key, held in counts.items()}
    average = sum(lengths.values()) / len(lengths) if lengths else 1.0
    scores = dict.fromkeys(texts, 0.0)
    for word in dict.fromkeys(query):
        having = [key for key, held in counts.items() if word in held]
        rarity = math.log(1 + (max(total, len(having)) - len(having) + 0.5) / (len(having) + 0.5))
        for key in having:
            often = counts[key][word]
            scores[key] += (
                rarity * often * (_K1 + 1) / (often + _K1 * (1 - _B + _B * lengths[key] / max(average, 1e-9)))
            )
    return {key: score for key, score in scores.items() if score > 0}


@lru_cache(maxsize=20_000)
def _counts(text: str) -> Counter[str]:
    return Counter(content_words(text))
