"""Recorded retrievals, run again: which statements each question is nearest to, from its stored vector and words.

The same ranking as recall's (``projections.shelving``), for all questions at once; it does not depend on the
structure, so that it is done once and every hypothetical structure is scored from it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memstream.projections.ranking import min_max, over_max
from memstream.projections.shelving import CONSIDERED, SECOND, nearest
from memstream.projections.terms import Terms, Vocabulary
from memstream.projections.words import content_words

from .evidence import Evidence, Recorded

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
_AT_ONCE = 256
_FEWEST_WORDS = 2


@dataclass(frozen=True)
class Rerun:
    """For each retrieval its nearest rows, best first; and what is used and what answers, as flat pairs.

    ``starts`` tells where each retrieval's used pairs begin. ``answers`` are rows whose line holds all of a
    question's words: a file that quotes one of them ends the retrieval at the category tier.
    """

    evidence: Evidence
    rows: Integers
    scores: NDArray[np.float64]
    used_of: Integers
    used: Integers
    starts: Integers
    answers_of: Integers
    answers: Integers

    def __len__(self) -> int:
        return len(self.evidence.retrievals)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """What each retrieval counts: less where its use is only likely; 1 on average."""
        weights = np.asarray([one.weight for one in self.evidence.retrievals], np.float64)
        return weights / weights.mean() if len(weights) else weights

    def column(self, held: Flags) -> NDArray[np.float64]:
        """Return the score of one category, holding the rows that are marked, for each retrieval."""
        inside = held[self.rows]
        first = inside.argmax(axis=1)
        each = np.arange(len(inside))
        top = np.where(inside[each, first], self.scores[each, first], 0.0)
        inside[each, first] = False
        second = inside.argmax(axis=1)
        return top + SECOND * np.where(inside[each, second], self.scores[each, second], 0.0)


def rerun(evidence: Evidence) -> Rerun:
    """Run the retrievals again; those of which nothing used is live any more are left out."""
    kept = [one for one in evidence.retrievals if one.used]
    evidence = evidence.with_retrievals(kept)
    terms = Terms(Vocabulary())
    terms.extend(one.words for one in evidence.facts.rows)
    rows, scores = _nearest(evidence, terms)
    used_of = np.repeat(np.arange(len(kept)), [len(one.used) for one in kept]).astype(np.int64)
    answers = _answers(evidence)
    return Rerun(
        evidence,
        rows,
        scores,
        used_of,
        np.asarray([row for one in kept for row in one.used], np.int64),
        np.concatenate([[0], np.cumsum([len(one.used) for one in kept])[:-1]]).astype(np.int64)
        if kept
        else np.zeros(0, np.int64),
        np.asarray([number for number, _ in answers], np.int64),
        np.asarray([row for _, row in answers], np.int64),
    )


def _nearest(evidence: Evidence, terms: Terms) -> tuple[Integers, NDArray[np.float64]]:
    facts, asked = evidence.facts, evidence.retrievals
    width = min(CONSIDERED, len(facts))
    rows, scores = np.zeros((len(asked), width), np.int64), np.zeros((len(asked), width), np.float64)
    embedded = np.asarray(facts.vectors.any(axis=1), np.bool_)
    everything = np.ones(len(facts), np.bool_)
    for start in range(0, len(asked), _AT_ONCE):
        block = asked[start : start + _AT_ONCE]
        similar = np.stack([one.vector for one in block]) @ facts.vectors.T
        for place, one in enumerate(block):
            found = nearest(
                min_max(similar[place], embedded), over_max(terms.match(sorted(one.words), everything).scores)
            )
            # Rows that match in no way fill the rest, with no score.
            rows[start + place, : len(found.rows)] = found.rows
            scores[start + place, : len(found.rows)] = found.scores
    return rows, scores


def _answers(evidence: Evidence) -> list[tuple[int, int]]:
    """Return the pairs of a retrieval and a row whose line holds all the words of its question."""
    holding: dict[str, set[int]] = {}
    for row, fact in enumerate(evidence.facts.rows):
        # A question that memory holds has all the words of the question, and no answer.
        for word in () if fact.line.endswith("?") else set(content_words(fact.line)):
            holding.setdefault(word, set()).add(row)
    return [
        (number, row)
        for number, one in enumerate(evidence.retrievals)
        if len(one.words) >= _FEWEST_WORDS
        for row in sorted(set[int].intersection(*(holding.get(word, set()) for word in one.words)))
    ]


def of_question(one: Recorded) -> Recorded:
    """Return a retrieval with a vector of length one."""
    length = float(np.linalg.norm(one.vector))
    return one._replace(vector=one.vector / np.float32(length or 1.0))
