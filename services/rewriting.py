"""Before memory is asked: whether the question needs it, and what it means by "she" and "the other one".

Rules, for when there is no language model. They change a question only where they find a referent.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from memstream.projections.words import content_words, words

from .local.statements import is_small_talk
from .reads import Turn

_PERSON = re.compile(r"\b(she|he|they|her|him|them|his|hers|their|theirs)\b", re.IGNORECASE)
_POSSESSIVE = {"his", "hers", "their", "theirs"}
_THING = re.compile(r"\b(it|its|that|this|those|these|there|one|ones)\b", re.IGNORECASE)
_NAME = re.compile(r"(?<![.!?…]\s)(?<!^)\b([A-Z][a-z]{2,}(?:\s[A-Z][a-z]{2,})?)\b")
_NOT_NAMES = frozenset(
    [
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
        "The",
        "What",
        "When",
        "Where",
        "Who",
        "Why",
        "How",
        "And",
        "But",
        "Yes",
        "Yeah",
        "Thanks",
        "Hey",
    ]
)
_ELLIPSIS = re.compile(r"^(?:and|what about|how about|and what about)\b", re.IGNORECASE)
_CHIT_CHAT = re.compile(
    r"^\W*(?:(?:can|could|would) you (?:please )?(?:tell me a joke|sing|help me)|tell me a joke|who are you|what are you|"
    r"what can you do|are you (?:a )?(?:bot|human|real|there)|how old are you|what'?s your name|"
    r"what time is it|what day is it|test(?:ing)?|ping)\W*$",
    re.IGNORECASE,
)


class Rewritten(NamedTuple):
    """A question as memory is asked it; ``needs_retrieval`` False when it needs none."""

    needs_retrieval: bool
    query: str


def rewrite(query: str, history: Sequence[Turn], people: Sequence[str] = ()) -> Rewritten:
    """Decide whether a question needs memory, and replace what refers back by what it refers to.

    ``people`` are the names that memory knows, which tells a person's name from other capitalised words.
    """
    if is_small_talk(query) or _CHIT_CHAT.match(query):
        return Rewritten(needs_retrieval=False, query=query)
    text = query
    if history:
        text = _resolve_person(text, history, people)
        text = _resolve_thing(text, history)
    return Rewritten(needs_retrieval=True, query=text)


def _resolve_person(query: str, history: Sequence[Turn], people: Sequence[str]) -> str:
    if not _PERSON.search(query) or _names_in(query, people):
        return query
    person = _last_person(history, people)
    if person is None:
        return query

    def replace(match: re.Match[str]) -> str:
        word = match.group().lower()
        followed = re.match(r"\s+[\w']+", query[match.end() :])
        possessive = word in _POSSESSIVE or (word == "her" and followed is not None)
        return f"{person}'s" if possessive else person

    return _PERSON.sub(replace, query)


def _resolve_thing(query: str, history: Sequence[Turn]) -> str:
    """Add what the last question was about when this one has too few words of its own."""
    refers = _THING.search(query) or _ELLIPSIS.match(query)
    own = set(content_words(query))
    if not refers or len(own) > 2:  # noqa: PLR2004 - with three words of its own a question stands alone
        return query
    for turn in reversed(history):
        topic = [word for word in words(turn.content) if content_words(word) and not set(content_words(word)) & own]
        if topic:
            return f"{query.rstrip()} ({' '.join(dict.fromkeys(topic[-12:]))})"
    return query


def _last_person(history: Sequence[Turn], people: Sequence[str]) -> str | None:
    for turn in reversed(history):
        if found := _names_in(turn.content, people):
            return found[-1]
    return None


def _names_in(text: str, people: Sequence[str]) -> list[str]:
    known = {name.casefold(): name for person in people for name in (person, person.split()[0])}
    known = {key: name for key, name in known.items() if key not in ("user", "assistant", "system", "tool")}
    places = [
        (match.start(), known[match.group().casefold()])
        for match in re.finditer(r"[^\W\d_]+", text)
        if match.group().casefold() in known
    ]
    if places:
        return [name for _, name in sorted(places)]
    return [name for name in _NAME.findall(text) if name.split()[0] not in _NOT_NAMES]
