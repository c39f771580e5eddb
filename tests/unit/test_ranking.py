"""Full text, signals and fusion: what moves a statement up, and what must not."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from memstream.projections import cues
from memstream.projections.ranking import WEIGHTS, best, min_max, over_max, pick, shortness
from memstream.projections.signals import Asked, Signalled, signals_of
from memstream.projections.statements import Statement, Statements, Told
from memstream.projections.terms import Terms, Vocabulary
from memstream.projections.words import content_words

NOW = datetime(2026, 5, 1, tzinfo=UTC)
FLOATS = st.floats(-5, 50, width=32)
SCORES = arrays.arrays(np.float32, st.integers(0, 30), elements=FLOATS)
TEXTS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8), max_size=20)


def visible(count: int, *hidden: int) -> np.ndarray:
    return np.asarray([row not in hidden for row in range(count)], np.bool_)


def terms(*texts: str) -> Terms:
    found = Terms(Vocabulary())
    found.extend(content_words(text) for text in texts)
    return found


def statements(*said: tuple[str | None, str], resource: str = "r") -> Statements:
    """Return a conversation, a message a statement, in order."""
    found = Statements(Vocabulary())
    found.state(
        [
            Statement(f"i-{n}", "event", text, said[n - 1][1] if n else "", speaker, "1 May 2026", NOW, n + 1, None)
            for n, (speaker, text) in enumerate(said)
        ]
    )
    for n in range(len(said)):
        found.source(f"i-{n}", Told(resource, "s", "message", n, n + 1, (), NOW, n + 1))
    return found


def asked(found: Statements, question: str) -> Signalled:
    return signals_of(found, Asked(question), found.visible(100))


def test_rare_words_count_more_than_common_ones() -> None:
    found = terms("Ana climbs in Porto", "Ana bakes bread", "Ana climbs").match(
        content_words("climbs in Porto"), visible(3)
    )
    assert found.scores[0] > found.scores[2] > 0
    assert found.scores[1] == 0
    assert found.coverage[0] == pytest.approx(1)


def test_what_is_not_visible_neither_matches_nor_counts() -> None:
    texts = terms("Ana climbs in Porto", "Ana bakes bread", "Ben climbs in Rome")
    alone = terms("Ana climbs in Porto", "Ana bakes bread").match(["climb"], visible(2))
    found = texts.match(["climb"], visible(3, 2))
    assert found.scores[:2] == pytest.approx(alone.scores)
    assert found.scores[2] == 0


@given(TEXTS, st.integers(0, 20), st.sets(st.integers(0, 19)))
def test_texts_added_in_steps_match_as_if_added_at_once(texts: list[list[str]], cut: int, hidden: set[int]) -> None:
    once, steps = Terms(Vocabulary()), Terms(Vocabulary())
    once.extend(texts)
    once._sort()
    steps.extend(texts[:cut])
    steps._sort()
    steps.extend(texts[cut:])
    seen = visible(len(texts), *hidden)
    for words in (["a"], ["b", "c"], ["x"]):
        assert steps.match(words, seen).scores == pytest.approx(once.match(words, seen).scores)


@given(SCORES, st.data())
def test_normalised_values_lie_between_zero_and_one_and_keep_their_order(
    values: np.ndarray, data: st.DataObject
) -> None:
    counted = data.draw(arrays.arrays(np.bool_, len(values)))
    scaled = min_max(values, counted)
    assert ((scaled >= 0) & (scaled <= 1)).all()
    assert not scaled[~counted].any()
    order = np.argsort(values[counted], kind="stable")
    assert (np.diff(scaled[counted][order]) >= 0).all()
    assert (over_max(np.abs(values)) <= 1).all()


@given(SCORES, st.integers(1, 10))
def test_the_best_are_the_largest_in_order_and_equal_ones_keep_theirs(values: np.ndarray, count: int) -> None:
    found = best(values, count)
    expected = sorted(range(len(values)), key=lambda row: (-values[row], row))[:count]
    assert list(found) == expected


@given(SCORES, st.integers(1, 12), st.data())
def test_what_is_picked_is_picked_once_and_begins_with_the_best(
    values: np.ndarray, count: int, data: st.DataObject
) -> None:
    numbers = arrays.arrays(np.int64, len(values), elements=st.integers(0, 3))
    picked = pick(values, data.draw(numbers), count)
    assert len(set(picked)) == len(picked) == min(count, len(values))
    if picked:
        assert values[picked[0]] == values.max()


def test_a_second_piece_of_a_message_gives_way_to_another_message() -> None:
    scores = np.asarray([0.9, 0.8, 0.6], np.float32)
    messages = np.asarray([0, 0, 1])
    assert pick(scores, messages, 3) == [0, 2, 1]


def test_short_turns_and_long_messages_have_weights_of_their_own() -> None:
    assert shortness(10) > 0.9
    assert shortness(80) == pytest.approx(0.5)
    assert shortness(400) < 0.1
    assert WEIGHTS["context"].at(1.0) == WEIGHTS["context"].short
    assert all(weight.short >= 0 and weight.long >= 0 for weight in WEIGHTS.values())


def test_the_speaker_whom_a_question_names_is_meant() -> None:
    found = statements(("Ana", "I bought a bike."), ("Ben", "I bought a bike, too."))
    assert list(asked(found, "What did Ben's friend buy?").signals["speaker"]) == [0, 1]


def test_whoever_asks_about_themselves_is_meant_when_only_one_person_speaks() -> None:
    chat = statements(("user", "I live in Porto."), ("assistant", "Porto is lovely."))
    assert list(asked(chat, "Where do I live?").signals["speaker"]) == [1, 0]
    two = statements(("Ana", "I live in Porto."), ("Ben", "I live in Rome."))
    assert not asked(two, "Where do I live?").signals["speaker"].any()


def test_a_neighbour_lends_its_score_within_a_resource_only() -> None:
    found = statements(("Ana", "Which instrument do you play?"), ("Ben", "The cello."), ("Ana", "Nice weather."))
    signals = asked(found, "Which instrument?").signals
    assert signals["before"][1] > 0
    assert signals["before"][0] == 0
    apart = statements(("Ana", "Which instrument do you play?"))
    apart.state([Statement("i-9", "event", "The cello.", "", "Ben", "", NOW, 9, None)])
    assert not asked(apart, "Which instrument?").signals["before"].any()


def test_a_question_is_no_statement_and_a_standing_wish_belongs_to_every_question() -> None:
    found = statements(("user", "Which cello?"), ("user", "Always answer in French."), ("assistant", "Always glad to."))
    signals = asked(found, "What is the capital?").signals
    assert list(signals["statement"]) == [0, 1, 1]
    assert list(signals["standing"]) == [0, 1, 0]


def test_a_statement_that_has_ended_has_no_signals_but_still_had_them_then() -> None:
    found = statements(("Ana", "I play the cello."), ("Ana", "I play the violin."))
    found.end("i-0", 1, 3)
    now, then = asked(found, "the cello"), signals_of(found, Asked("the cello"), found.visible(2))
    assert not any(signal[0] for signal in now.signals.values())
    assert then.signals["text"][0] == 1


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("What did Ana's sister buy?", "What did sister buy?"),
        ("Ana?", "Ana?"),
        ("When will Will call?", "When will call?"),
        ("what does ana do?", "what does ana do?"),
    ],
)
def test_names_of_those_who_speak_are_left_out_of_what_is_embedded(question: str, kept: str) -> None:
    assert cues.without_names(question, cues.names_of(["Ana", "Will Smith", "user", None])) == kept


@pytest.mark.parametrize(
    ("question", "several"),
    [
        ("Which books has Ana read?", True),
        ("What kinds of dishes does he cook?", True),
        ("How many times did they meet?", True),
        ("In what ways has she helped?", True),
        ("What does Ana's sister do?", False),
        ("What is his address?", False),
        ("Which dress did she buy?", False),
        ("Which book about cellos has Ana read?", False),
        ("When did they meet?", False),
    ],
)
def test_a_question_in_the_plural_asks_for_several(question: str, several: bool) -> None:
    assert cues.asks_for_several(question) is several


def test_a_question_in_the_plural_is_not_drawn_to_one_session() -> None:
    found = statements(("Ana", "I read a book about cellos."), ("Ana", "It rains."))
    assert asked(found, "Which book about cellos did Ana read?").signals["session"].any()
    assert not asked(found, "Which books about cellos did Ana read?").signals["session"].any()
