"""Time expressions of a question, as ranges of days: rules for English, resolved against the times of a memory.

"In May 2023", "on 8 May", "last week", "two months ago", "last Friday" give a range by themselves. "Before she moved",
"the week after the party" name an event: the range begins or ends with the day of what is said about it.
"""

import re
from datetime import date, timedelta
from typing import Final, NamedTuple

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ],
        start=1,
    )
}
_WEEKDAYS: Final = {
    name: number
    for number, name in enumerate(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])
}
_NUMBERS: Final = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "a couple of": 2,
    "a few": 3,
}
_UNIT_DAYS: Final = {"day": 1, "week": 7, "weekend": 7, "month": 30, "year": 365}
_SEASONS: Final = {"spring": (3, 5), "summer": (6, 8), "autumn": (9, 11), "fall": (9, 11), "winter": (12, 2)}
_MONTH = "|".join(_MONTHS)
_DAY_MONTH = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?:\s+of)?\s+({_MONTH})\b(?:,?\s+(\d{{4}}))?", re.IGNORECASE)
_MONTH_DAY = re.compile(rf"\b({_MONTH})\s+(\d{{1,2}})(?:st|nd|rd|th)?\b(?!\d)(?:,?\s+(\d{{4}}))?", re.IGNORECASE)
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
# "may" alone is a verb more often than a month.
_MONTH_YEAR = re.compile(rf"\b({_MONTH}),?\s+(\d{{4}})\b|\b(?:in|last|during|since|of)\s+({_MONTH})\b", re.IGNORECASE)
_SEASON = re.compile(rf"\b({'|'.join(_SEASONS)})\s+(?:of\s+)?(\d{{4}})\b", re.IGNORECASE)
_YEAR = re.compile(r"\b(?:in|during|of)\s+((?:19|20)\d{2})\b", re.IGNORECASE)
_AGO = re.compile(rf"\b({'|'.join(_NUMBERS)}|\d{{1,3}})\s+({'|'.join(_UNIT_DAYS)})s?\s+ago\b", re.IGNORECASE)
_LAST = re.compile(rf"\b(last|this|past)\s+(week|weekend|month|year|{'|'.join(_WEEKDAYS)})\b", re.IGNORECASE)
_NEAR = re.compile(r"\b(yesterday|today|tonight)\b", re.IGNORECASE)
_EVENT = re.compile(r"\b(?:the\s+(day|week|month|year)\s+)?(before|after|since|until)\s+(?!\d)(\w.{3,})", re.IGNORECASE)
# What happened is often told some days later.
_TOLD_LATER_DAYS: Final = 10
_FADING_DAYS: Final = 14


class Days(NamedTuple):
    """A range of days, both ends included."""

    first: date
    last: date

    def fit(self, day: date) -> float:
        """Return 1 for a day inside, less for one soon behind, when it may have been told, and 0 elsewhere."""
        if self.first <= day <= self.last:
            return 1.0
        late = (day - self.last).days
        return max(0.5, 1 - late / _FADING_DAYS) if 0 < late <= _TOLD_LATER_DAYS else 0.0


class Event(NamedTuple):
    """A time told by an event: what is said of it, on which side of it, and in how many days of it (None: open)."""

    said: str
    after: bool
    within: int | None

    def days(self, moment: date) -> Days:
        """Return the range, once it is known when the event was."""
        reach = timedelta(self.within) if self.within is not None else None
        if self.after:
            return Days(moment, moment + reach if reach else date.max)
        return Days(moment - reach if reach else date.min, moment)


def days_asked(question: str, today: date) -> list[Days]:
    """Return the ranges that a question names by date, or by its distance from ``today``."""
    found = [*_dates(question, today), *_distances(question, today)]
    if not found:
        found = [*_months(question, today), *_seasons(question)]
    if not found:
        found = [Days(date(int(year), 1, 1), date(int(year), 12, 31)) for year in _YEAR.findall(question)]
    return found


def event_asked(question: str) -> Event | None:
    """Return the event by which a question names a time; None when it names none."""
    if (match := _EVENT.search(question)) is None:
        return None
    unit, side, said = match.groups()
    within = 2 * _UNIT_DAYS[unit.lower()] if unit else None
    return Event(said, side.lower() in {"after", "since"}, within)


def _dates(question: str, today: date) -> list[Days]:
    named = [(int(day), _MONTHS[month.lower()], year) for day, month, year in _DAY_MONTH.findall(question)]
    named += [(int(day), _MONTHS[month.lower()], year) for month, day, year in _MONTH_DAY.findall(question)]
    named += [(int(day), int(month), year) for year, month, day in _ISO.findall(question)]
    return [Days(found, found) for day, month, year in named if (found := _day(year, month, day, today))]


def _day(year: str, month: int, day: int, today: date) -> date | None:
    """Return a day; without a year the latest one that is not still to come. None for a day that no calendar has."""
    try:
        if year:
            return date(int(year), month, day)
        found = date(today.year, month, day)
        return found if found <= today else date(today.year - 1, month, day)
    except ValueError:
        return None


def _months(question: str, today: date) -> list[Days]:
    found: list[Days] = []
    for dated, year, alone in _MONTH_YEAR.findall(question):
        month = _MONTHS[(dated or alone).lower()]
        number = int(year) if year else today.year - (month > today.month)
        if number:
            found.append(Days(date(number, month, 1), _last_of(number, month)))
    return found


def _seasons(question: str) -> list[Days]:
    found: list[Days] = []
    for name, year in _SEASON.findall(question):
        first, last = _SEASONS[name.lower()]
        end = int(year) + (last < first)
        if int(year):
            found.append(Days(date(int(year), first, 1), _last_of(end, last)))
    return found


def _last_of(year: int, month: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1) if (year, month) < (date.max.year, 12) else date.max
    return following - timedelta(1)


def _distances(question: str, today: date) -> list[Days]:
    found: list[Days] = []
    for amount, unit in _AGO.findall(question):
        span = _UNIT_DAYS[unit.lower()]
        count = _NUMBERS.get(amount.lower()) or int(amount)
        middle, slack = _before(today, count * span), max(span // 2, 1)
        found.append(Days(_before(middle, slack), min(middle + timedelta(slack), today)))
    for which, what in _LAST.findall(question):
        found.append(_calendar(which.lower(), what.lower(), today))
    for word in _NEAR.findall(question):
        day = _before(today, int(word.lower() == "yesterday"))
        found.append(Days(day, day))
    return found


def _calendar(which: str, what: str, today: date) -> Days:
    if what in _WEEKDAYS:
        day = _before(today, (today.weekday() - _WEEKDAYS[what] - 1) % 7 + 1)
        return Days(day, day)
    span = _UNIT_DAYS[what]
    return Days(_before(today, span), today) if which == "this" else Days(_before(today, 2 * span), _before(today, 1))


def _before(day: date, days: int) -> date:
    return day - timedelta(min(days, (day - date.min).days))
