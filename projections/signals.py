"""The signals of every statement for one question: what puts it among the hits, each from 0 to 1.

A statement's own words and vector; the words around it; who says it; whether it tells a time that is asked for; how
well its neighbours and its session match; whether it states something, or asks something of every later answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from .cues import asks_for_several, asks_when, is_agent, is_first_person, named
from .ranking import min_max, over_max, shortness
from .statements import Layout, Statements
from .terms import Matched
from .timing import days_asked, event_asked
from .words import content_words, words

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
# How the two searches are weighed where neighbours and sessions lend their scores.
_LENT_VECTOR = 0.5
# Share of an event's words that a statement must hold to tell of it.
_EVENT_COVERAGE = 0.6
# So many of a session's best messages speak for it.
_SESSION_BEST = 3


@dataclass(frozen=True)
class Asked:
    """A question, taken apart: its words, whether it asks for a time, and whether about whoever asks."""

    text: str
    vector: Floats | None = None

    @property
    def words(self) -> list[str]:
        """The words that carry meaning."""
        return content_words(self.text)


@dataclass(frozen=True)
class Signalled:
    """Every row's signals, its raw similarity and the share of the question's words that it covers."""

    signals: Mapping[str, Floats]
    similarity: Floats
    coverage: Floats
    visible: Flags
    short: float


def signals_of(statements: Statements, asked: Asked, visible: Flags) -> Signalled:
    """Return the signals of all visible statements; the others have none."""
    similarity, counted = statements.near(asked.vector, visible)
    own = statements.text.match(asked.words, visible)
    around: Matched = statements.context.match(asked.words, visible)
    vector, context = min_max(similarity, counted), over_max(around.scores)
    layout, lent = statements.layout, _LENT_VECTOR * vector + (1 - _LENT_VECTOR) * context
    lent = np.where(visible, lent, 0).astype(np.float32)
    before, after, session = _lent(layout, lent)
    seen = visible.astype(np.float32)
    signals = {
        "vector": vector,
        "text": over_max(own.scores),
        "context": context,
        "speaker": _spoken(statements, asked.text, visible),
        "time": statements.tells_when * seen * np.float32(asks_when(asked.text)),
        "date": _dated(statements, asked, visible) * seen,
        "message": _beside(layout, lent) * seen,
        "before": before * seen,
        "after": after * seen,
        # What is asked for in the plural was told now and then: no one session speaks for its statements.
        "session": session * seen * np.float32(not asks_for_several(asked.text)),
        "statement": statements.states * seen,
        "standing": statements.standing * seen,
    }
    return Signalled(signals, similarity, around.coverage, visible, _shortness(statements, visible))


def _shortness(statements: Statements, visible: Flags) -> float:
    # Marked, not sorted: in a large memory sorting would be the longest part of a question.
    seen = np.zeros(len(statements.layout.session_of), np.bool_)
    seen[statements.layout.messages[visible]] = True
    return shortness(float(statements.words[visible].sum()) / max(int(seen.sum()), 1))


def _spoken(statements: Statements, question: str, visible: Flags) -> Floats:
    """Return 1 where a statement's speaker is named in the question, or is the one who asks about themselves."""
    asked = named(question)
    speaking = statements.speaking(visible)
    people = [one for one in speaking if one and not is_agent(one)]
    # Of several people nobody can tell who "I" is.
    asker = people[0] if len(people) == 1 and is_first_person(question) else None
    meant = np.asarray(
        [one is not None and (one == asker or bool(asked & set(words(one)))) for one in statements.speakers], np.float32
    )
    return meant[statements.speaker] * visible if len(meant) else np.zeros(len(statements), np.float32)


def _dated(statements: Statements, asked: Asked, visible: Flags) -> Floats:
    """Return how well the day of each statement fits the time that the question names."""
    said = statements.layout.days
    fits = np.zeros(len(said), np.float32)
    latest = int(said[visible].max(initial=0))
    if not latest:
        return fits
    asked_days = days_asked(asked.text, date.fromordinal(latest))
    if not asked_days and (event := event_asked(asked.text)) is not None:
        told = statements.context.match(content_words(event.said), visible)
        row = int(told.coverage.argmax())
        # An event that nothing tells of gives no time.
        if told.coverage[row] >= _EVENT_COVERAGE and said[row]:
            asked_days = [event.days(date.fromordinal(int(said[row])))]
    for day in np.unique(said[visible & (said > 0)]) if asked_days else ():
        fits[said == day] = max(one.fit(date.fromordinal(int(day))) for one in asked_days)
    return fits


def _beside(layout: Layout, lent: Floats) -> Floats:
    """Return what the best other statement of the same message lends: a fact to its turn, a piece to its message."""
    count = len(layout.session_of)
    best, second = np.zeros(count, np.float32), np.zeros(count, np.float32)
    np.maximum.at(best, layout.messages, lent)
    is_best = lent == best[layout.messages]
    np.maximum.at(second, layout.messages, np.where(is_best, 0, lent))
    # Two that are equally good lend to each other.
    twice = np.bincount(layout.messages, is_best, minlength=count) > 1
    others: Floats = np.where(is_best & ~twice[layout.messages], second[layout.messages], best[layout.messages])
    return others


def _lent(layout: Layout, lent: Floats) -> tuple[Floats, Floats, Floats]:
    """Return, for each row, what the message before, the one behind and the session lend it."""
    if not len(lent):
        return lent, lent, lent
    messages = np.zeros(len(layout.session_of), np.float32)
    np.maximum.at(messages, layout.messages, lent)
    before, after = np.zeros_like(messages), np.zeros_like(messages)
    before[1:] = messages[:-1] * layout.follows[1:]
    after[:-1] = messages[1:] * layout.follows[1:]
    session = _session_means(layout, messages)
    scaled = min_max(session, np.ones(len(session), np.bool_))[layout.session_of]
    return before[layout.messages], after[layout.messages], scaled[layout.messages]


def _session_means(layout: Layout, messages: Floats) -> Floats:
    """Return for each session the mean of its best messages; the messages of a session stand together."""
    starts = np.flatnonzero(np.r_[True, np.diff(layout.session_of) != 0])
    sizes = np.diff(np.r_[starts, len(messages)])
    left = messages.copy()
    total = np.zeros(len(starts), np.float32)
    for taken in range(_SESSION_BEST):
        tops = np.maximum.reduceat(left, starts)
        total += np.where(sizes > taken, tops, 0)
        # One of equal bests is taken off: the first of its session.
        hits = np.flatnonzero(left == tops[layout.session_of])
        _, first = np.unique(layout.session_of[hits], return_index=True)
        left[hits[first]] = -1
    means: Floats = total / np.minimum(sizes, _SESSION_BEST).astype(np.float32)
    return means
