"""Subjects and scopes: any id, and nobody else's events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstream.events.errors import InvalidScope
from memstream.events.subjects import Scope, decode_token, encode_token, parse_subject, subject_of, user_subjects

# Every code point, halves of surrogate pairs too: an id may come from anywhere.
ANY_TEXT = st.text(st.characters(codec=None, categories=None), min_size=1, max_size=200)
ANY_ID = st.text(min_size=1, max_size=100).filter(lambda text: text.strip())


@given(ANY_TEXT)
def test_a_token_decodes_to_the_text_it_was_made_from(text: str) -> None:
    assert decode_token(encode_token(text)) == text


@given(ANY_TEXT)
def test_a_token_has_no_character_that_means_something_to_nats(text: str) -> None:
    assert not set(encode_token(text)) & set(" .*>\t\r\n\0")
    assert encode_token(text).isascii()


@given(ANY_TEXT, ANY_TEXT)
def test_two_texts_never_share_a_token(left: str, right: str) -> None:
    assert (encode_token(left) == encode_token(right)) == (left == right)


@given(ANY_ID, ANY_ID)
def test_a_subject_gives_back_its_scope_and_type(tenant: str, user: str) -> None:
    scope = Scope.of(tenant, user)
    assert parse_subject(subject_of(scope, "items.extracted")) == (scope, "items.extracted")
    assert Scope.from_key(scope.key) == scope


@pytest.mark.parametrize("user", ["a.b", "a b", "*", ">", "a.*", "😀", "Zoë", "x" * 500, "😀" * 300, "~tilde", "%41"])
def test_awkward_ids_are_ids_like_others(user: str) -> None:
    scope = Scope.of("default", user)
    assert user_subjects(scope).count(".") == 3
    assert parse_subject(subject_of(scope, "feedback.given"))[0].user == user


@pytest.mark.parametrize("user", ["", " ", "\t\n", "x" * 513, "\ud800", None, 7])
def test_an_id_that_can_name_nobody_is_refused(user: object) -> None:
    with pytest.raises(InvalidScope):
        Scope.of("default", user)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "subject", ["memstream", "other.a.b.c", "memstream.a.b", "memstream.%zz..c", "memstream.a.~!.c"]
)
def test_a_foreign_subject_is_refused(subject: str) -> None:
    with pytest.raises(InvalidScope):
        parse_subject(subject)
