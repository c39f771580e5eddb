"""Before memory is asked: whether the question needs it, and what it means by "she" and "the other one".

Rules, for when there is no language model. They change a question only where they find a referent.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from memstream.projections.words import content_words, words

from .local.statements import is_greeting
from .reads import Turn

_PERSON = re.compile(r"\b(she|he|they|her|him|them|his|hers|their|theirs)\b", re.IGNORECASE)
_POSSESSIVE = {"his", "hers", "their", "theirs"}
_OBJECT = {"her", "him", "them"}
_QUESTION = re.compile(
    r"^\W*(?:what|when|where|who|whom|whose|which|why|how|did|do|does|is|are|was|were)\b", re.IGNORECASE
)
_THING = re.compile(r"\b(it|its|that|this|those|these|there|one|ones)\b", re.IGNORECASE)
_NAME = re.compile(r"\b([A-Z][a-z]{2,}(?:\s[A-Z][a-z]{2,})?)\b")
_PLACE = re.compile(r"\b(?:in|from|to|at|near|around|via|of|the)$", re.IGNORECASE)
_ACTS = re.compile(r"'s\b|\s+(?:and|is|was|has|had|will|can|did|does|said|says|told|went|came|\w+ed|\w+s)\b|\s*$")
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
    refers_back = bool(history) and _asks(query)
    if is_greeting(query) or _CHIT_CHAT.match(query) or not (content_words(query) or refers_back):
        return Rewritten(needs_retrieval=False, query=query)
    text = query
    if history:
        text = _resolve_person(text, history, people)
        text = _resolve_thing(text, history)
    return Rewritten(needs_retrieval=True, query=text)


def _asks(query: str) -> bool:
    return "?" in query or _QUESTION.match(query) is not None


def _resolve_person(query: str, history: Sequence[Turn], people: Sequence[str]) -> str:
    """Replace pronouns by the person last spoken of; one behind a name in the question may mean that one."""
    if not _PERSON.search(query):
        return query
    named = _named(query, people)
    person = next((name for name in _recent_people(history, people) if name not in named.values()), None)
    if person is None:
        return query

    def replace(match: re.Match[str]) -> str:
        word = match.group().lower()
        followed = re.match(r"\s+[\w']+", query[match.end() :]) is not None
        possessive = word in _POSSESSIVE or (word == "her" and followed)
        if any(place < match.start() for place in named) and (possessive or word not in _OBJECT):
            return match.group()
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


def _recent_people(history: Sequence[Turn], people: Sequence[str]) -> Iterator[str]:
    for turn in reversed(history):
        yield from reversed(list(_named(turn.content, people).values()))


def _named(text: str, people: Sequence[str]) -> dict[int, str]:
    """Return the names in a text by their place: those that memory knows, or else capitalised words."""
    known = {name.casefold(): name for person in people for name in (person, *person.split()[:1])}
    for role in ("user", "assistant", "system", "tool"):
        known.pop(role, None)
    places = {
        match.start(): known[match.group().casefold()]
        for match in re.finditer(r"[^\W\d_]+", text)
        if match.group().casefold() in known
    }
    if places:
        return places
    return {match.start(1): match[1] for match in _NAME.finditer(text) if _is_person(text, match)}


def _is_person(text: str, match: re.Match[str]) -> bool:
    """Guess whether a capitalised word names a person: no place, no day, and at a sentence's start only before a verb."""
    first = match[1].split()[0]
    before, behind = text[: match.start(1)].rstrip(), text[match.end(1) :]
    if first in _NOT_NAMES or not content_words(first) or _PLACE.search(before):
        return False
    starts = not before or before[-1] in ".!?…:\n"
    return not starts or _ACTS.match(behind) is not None
