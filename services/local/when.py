"""When a statement's event happened: relative expressions resolved against the time it was said."""

import re
from datetime import datetime, timedelta

from memstream.events.payloads import storable

_NUMBERS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "couple of": 2, "few": 3,
}  # fmt: skip
_UNITS = {"day": 1, "week": 7, "month": 30, "year": 365}
_SATURDAY = 5
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_AMOUNT = "|".join(_NUMBERS)
_RELATIVE = re.compile(
    rf"\b(?:(?P<simple>yesterday|last night|today|tonight|this morning|tomorrow|the day before yesterday)"
    rf"|(?:a\s+)?(?P<amount>\d{{1,3}}|{_AMOUNT})\s+(?P<unit>day|week|month|year)s?\s+ago"
    rf"|in\s+(?P<ahead>\d{{1,3}}|{_AMOUNT})\s+(?P<aunit>day|week|month|year)s?\b"
    rf"|(?P<side>last|next|this)\s+(?P<thing>week|weekend|month|year|{'|'.join(_DAYS)}))\b",
    re.IGNORECASE,
)
_SIMPLE = {
    "yesterday": -1,
    "last night": -1,
    "the day before yesterday": -2,
    "today": 0,
    "tonight": 0,
    "this morning": 0,
    "tomorrow": 1,
}


def resolve_time(text: str, said: datetime | None) -> datetime | None:
    """Return when the first relative expression in ``text`` lies, or ``said`` when there is none."""
    if said is None or (found := _RELATIVE.search(text)) is None:
        return said
    try:
        return storable(said + timedelta(days=_days(found, said)))
    except (ValueError, OverflowError):
        # "999 years ago" is a way of speaking.
        return said


def is_relative(text: str) -> bool:
    """Tell whether a text means another thing when it is said on another day."""
    return _RELATIVE.search(text) is not None


def _days(found: re.Match[str], said: datetime) -> int:
    if found["simple"]:
        return _SIMPLE[found["simple"].lower()]
    if found["unit"]:
        return -_count(found["amount"]) * _UNITS[found["unit"].lower()]
    if found["aunit"]:
        return _count(found["ahead"]) * _UNITS[found["aunit"].lower()]
    return _calendar(found["thing"].lower(), {"last": -1, "next": 1, "this": 0}[found["side"].lower()], said)


def _calendar(thing: str, sign: int, said: datetime) -> int:
    """Return the days to the last, this or next week, month, year, weekend or day of the week."""
    if thing in _UNITS:
        return sign * _UNITS[thing]
    day = _SATURDAY if thing == "weekend" else _DAYS.index(thing)
    ahead = (day - said.weekday()) % 7
    if sign < 0:
        return ahead - 7
    return ahead + (7 if sign > 0 and ahead == 0 else 0)


def _count(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word.lower()]
