"""The kind of a statement, by rules on its wording; in doubt, what was said is knowledge or an event."""

import re
from typing import Final

from memstream.events.payloads import Kind

_RULES: Final[list[tuple[Kind, re.Pattern[str]]]] = [
    (
        "profile",
        re.compile(
            r"\b(my name is|call me|i am (?:a|an|from|\d)|i'm (?:a|an|from|\d)|i was born|i live|i work (?:as|at|for|in)|"
            r"i(?:'m| am) (?:allergic|married|single|vegetarian|vegan)|i have (?:a|an|two|three|four|\d) "
            r"(?:\w+ )?(?:kids?|children|son|daughter|dogs?|cats?|brothers?|sisters?|wife|husband))\b",
            re.IGNORECASE,
        ),
    ),
    (
        "behavior",
        re.compile(
            r"\b(usually|always|never|every (?:day|week|weekend|morning|evening|night|month|year|\w+day)|often|"
            r"most (?:days|weekends|mornings)|tend to|on \w+days|twice a|once a|i (?:really )?(?:like|love|enjoy|prefer|hate) )\b",
            re.IGNORECASE,
        ),
    ),
    (
        "tool",
        re.compile(
            r"\b(i use|we use|using (?:the )?\w+ (?:app|tool|library|plugin)|installed|command line)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "skill",
        re.compile(
            r"\b(i can (?:now )?\w+|i know how to|i learned (?:how )?to|i'm (?:good|fluent) (?:at|in)|i speak)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "event",
        re.compile(
            r"\b(yesterday|today|tomorrow|last (?:night|week|month|year|\w+day)|next (?:week|month|year|\w+day)|ago|"
            r"(?:i|we|he|she|they) (?:just |recently |finally )?(?:went|had|got|made|saw|met|took|bought|started|finished|"
            r"moved|visited|won|lost|signed|booked|was|were|did|tried|found|joined|decided|\w+ed))\b",
            re.IGNORECASE,
        ),
    ),
]


def kind_of(text: str, *, spoken_by_user: bool) -> Kind:
    """Return the kind of a statement; what an assistant or a document says is knowledge."""
    if not spoken_by_user:
        return "knowledge"
    for kind, pattern in _RULES:
        if pattern.search(text):
            return kind
    return "knowledge"
