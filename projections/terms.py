"""Full text of one user's texts, in memory: which of them hold which words, scored by BM25.

Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009). All statistics are the user's own and those of
the moment that is asked about: what others say, or what came later, moves no score.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_K1 = 1.2
_B = 0.75
# Below this many entries, looking through those behind the sorted ones costs less than sorting all again.
_UNSORTED = 4_096
_UNSORTED_SHARE = 5

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


class Vocabulary:
    """A number for each word that any text of a projection holds."""

    def __init__(self) -> None:
        # Numbered where a word is first looked up, in one step: several threads add texts.
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)

    def number(self, word: str) -> int:
        """Return the number of a word, a new one for a new word."""
        return self._numbers[word]

    def find(self, word: str) -> int | None:
        """Return the number of a word; None when no text holds it."""
        return self._numbers.get(word)


class Matched(NamedTuple):
    """For each text its BM25 score, and the share of the question's weight that its words cover (0 to 1)."""

    scores: Floats
    coverage: Floats


class Terms:
    """An inverted index of texts that are only ever added."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._lengths = np.zeros(0, np.float32)
        # Entries (word, text, times), of which the first so many are sorted by word.
        self._words = np.zeros(0, np.int32)
        self._texts = np.zeros(0, np.int32)
        self._times = np.zeros(0, np.float32)
        self._sorted = 0

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def bytes(self) -> int:
        """The memory that the arrays take."""
        return sum(one.nbytes for one in (self._lengths, self._words, self._texts, self._times))

    def extend(self, texts: Iterable[Sequence[str]]) -> None:
        """Add texts, each as the words that count."""
        words: list[int] = []
        owners: list[int] = []
        times: list[int] = []
        lengths: list[int] = []
        for number, text in enumerate(texts, start=len(self)):
            counted = Counter(text)
            words += map(self._vocabulary.number, counted)
            times += counted.values()
            owners += [number] * len(counted)
            lengths.append(len(text))
        self._lengths = np.concatenate([self._lengths, np.asarray(lengths, np.float32)])
        self._words = np.concatenate([self._words, np.asarray(words, np.int32)])
        self._texts = np.concatenate([self._texts, np.asarray(owners, np.int32)])
        self._times = np.concatenate([self._times, np.asarray(times, np.float32)])
        if len(self._words) - self._sorted > max(_UNSORTED, len(self._words) // _UNSORTED_SHARE):
            self._sort()

    def match(self, words: Iterable[str], visible: Flags) -> Matched:
        """Score every text against a question's words; texts that are not ``visible`` score 0 and count for nothing."""
        scores, coverage = np.zeros(len(self), np.float32), np.zeros(len(self), np.float32)
        total = int(visible.sum())
        if not total:
            return Matched(scores, coverage)
        average = max(float(self._lengths[visible].mean()), 1e-9)
        weight = 0.0
        for word in dict.fromkeys(words):
            texts, times = self._entries(word)
            kept = visible[texts]
            texts, times = texts[kept], times[kept]
            rarity = math.log(1 + (total - len(texts) + 0.5) / (len(texts) + 0.5))
            weight += rarity
            damped = times + _K1 * (1 - _B + _B * self._lengths[texts] / average)
            scores[texts] += rarity * times * (_K1 + 1) / damped
            coverage[texts] += rarity
        return Matched(scores, coverage / max(weight, 1e-9))

    def _entries(self, word: str) -> tuple[NDArray[np.int32], Floats]:
        number = self._vocabulary.find(word)
        if number is None:
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        # Of the array's own type: for others all of it would be converted.
        low, high = np.searchsorted(self._words[: self._sorted], np.asarray([number, number + 1], np.int32))
        behind = self._sorted + np.flatnonzero(self._words[self._sorted :] == number)
        if not len(behind):
            return self._texts[low:high], self._times[low:high]
        return (
            np.concatenate([self._texts[low:high], self._texts[behind]]),
            np.concatenate([self._times[low:high], self._times[behind]]),
        )

    def _sort(self) -> None:
        order = np.argsort(self._words, kind="stable")
        self._words, self._texts, self._times = self._words[order], self._texts[order], self._times[order]
        self._sorted = len(order)
