"""What a question, or a statement, gives away by its wording: rules for English, none of them about any one data set."""

import re
from collections.abc import Iterable

from .words import words

_FIRST_PERSON = frozenset({"i", "me", "my", "mine", "myself", "i'm", "i've", "i'd", "i'll", "we", "our", "us"})
# Who speaks with these names is nobody's namesake.
_ROLES = frozenset({"user", "assistant", "system", "tool", "developer", "human", "ai", "model"})
_AGENTS = frozenset({"assistant", "system", "tool", "developer", "ai", "model"})
_ASKS_WHEN = re.compile(r"\b(?:when|what (?:date|day|month|year|time)|how long)\b", re.IGNORECASE)
_TELLS_WHEN = re.compile(
    r"""\b(?:yesterday|today|tonight|tomorrow|last|next|ago|week|weekend|month|year|since|recently|just|
    january|february|march|april|may|june|july|august|september|october|november|december|
    monday|tuesday|wednesday|thursday|friday|saturday|sunday|\d{4}|for\s\w+\syears)\b""",
    re.IGNORECASE | re.VERBOSE,
)
# What begins another phrase than the one that names what is asked for; "of" goes on with it: "what kinds of dishes".
_OTHER = (
    r"(?!(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|might|this"
    r"|about|at|by|for|from|in|on|that|to|with)\b)"
)
_ASKS_FOR_SEVERAL = re.compile(
    rf"\b(?:what|which|whose)\s+(?:{_OTHER}\w+\s+){{0,3}}?{_OTHER}\w{{3,}}(?<!s)s\b|\bhow\smany\b|\bin\swhat\sways\b",
    re.IGNORECASE,
)
_ASKS_ABOUT_THE_PAST = re.compile(
    r"""\b(?:used\sto|previous(?:ly)?|original(?:ly)?|former(?:ly)?|earlier|initial(?:ly)?|at\sfirst|back\sthen
    |in\sthe\spast|(?:was|were|did|had)\b.*\bbefore)\b""",
    re.IGNORECASE | re.VERBOSE,
)
# What a user asks of every later answer: it belongs to whatever is asked.
_STANDING = re.compile(
    r"""(?:^|[.!?]\s+)\W*(?:please\s+)?(?:always|never|from\snow\son|going\sforward|whenever|every\stime)\b
    |\bwhen(?:ever)?\si\sask\b|\bfrom\snow\son\b|\bi(?:'d|\swould)?\s(?:always\s)?(?:like|want|need)\syou\sto\b""",
    re.IGNORECASE | re.VERBOSE,
)


def is_agent(speaker: str | None) -> bool:
    """Tell whether a speaker is the machine's side of a conversation."""
    return (speaker or "").casefold() in _AGENTS


def is_first_person(question: str) -> bool:
    """Tell whether a question is about whoever asks it."""
    return not _FIRST_PERSON.isdisjoint(words(question))


def asks_when(question: str) -> bool:
    """Tell whether a question asks for a time."""
    return _ASKS_WHEN.search(question) is not None


def asks_for_several(question: str) -> bool:
    """Tell whether a question asks for more than one thing: "which books …", "how many …"."""
    return _ASKS_FOR_SEVERAL.search(question) is not None


def asks_about_the_past(question: str) -> bool:
    """Tell whether a question asks for what was true once, and may not be any more."""
    return _ASKS_ABOUT_THE_PAST.search(question) is not None


def tells_when(text: str) -> bool:
    """Tell whether a text speaks of a time."""
    return _TELLS_WHEN.search(text) is not None


def is_question(text: str) -> bool:
    """Tell whether a text ends in a question: it holds the words of an answer, and none."""
    return text.rstrip().endswith("?")


def is_standing(text: str, speaker: str | None) -> bool:
    """Tell whether a text asks something of every later answer."""
    return not is_agent(speaker) and _STANDING.search(text) is not None


def names_of(speakers: Iterable[str | None]) -> frozenset[str]:
    """Return the words of which the speakers' names are made; roles are no names."""
    return frozenset(word for speaker in speakers if speaker for word in words(speaker)) - _ROLES


def named(question: str) -> frozenset[str]:
    """Return the words of a question as they would stand in a name, possessives too."""
    return frozenset(word.removesuffix("'s") for word in words(question))


def without_names(question: str, names: frozenset[str]) -> str:
    """Return a question without the names of those who speak in the memory, for its vector.

    A name is in half of what its bearer is told, so that it draws the vector away from what is asked; who speaks is
    a signal of its own.
    """
    kept = [word for word in question.split() if not (word[:1].isupper() and named(word) & names)]
    return " ".join(kept) if any(map(words, kept)) else question
