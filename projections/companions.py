"""What was used together is found together: the answer to one question is often in several statements.

An asker who used (or missed) some statements for one question will want all of them for the next one that comes near to
any. Each retrieval with feedback is taken for a small category of what answered it, which speaks by its best statement,
as categories do (see ``shelving``), for each of the others. Measured: docs/recall.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

# After so many later retrievals with feedback, one counts half.
_HALF_LIFE: Final = 200
# How fast a companion that is not the nearest of all stops speaking, as a power of its nearness.
_SHARPNESS: Final = 2


class Company(NamedTuple):
    """The statements that answered one question, each with the position at which somebody said so."""

    members: tuple[tuple[str, int], ...]


def companies(told: Iterable[tuple[str, str, int]]) -> tuple[Company, ...]:
    """Return the companies of at least two in (retrieval, statement, position) rows, oldest first."""
    held: dict[str, dict[str, int]] = {}
    for retrieval, statement, made in told:
        held.setdefault(retrieval, {}).setdefault(statement, made)
    return tuple(Company(tuple(one.items())) for one in held.values() if len(one) > 1)


def companions(found: Sequence[Company], as_of: int, near: Mapping[str, float]) -> dict[str, float]:
    """Return for each statement how near to a question the nearest of those is that it was used with.

    ``near`` tells how near statements are to the question, 0 to 1; so does what comes back, faded by age.
    """
    lifts: dict[str, float] = {}
    for age, company in enumerate(reversed(found)):
        members = [statement for statement, made in company.members if made <= as_of]
        first, second = sorted([0.0, 0.0, *(near.get(one, 0.0) for one in members)])[:-3:-1]
        if not first:
            continue
        faded = 0.5 ** (age / _HALF_LIFE)
        for one in members:
            # The nearest has only the others to speak for it.
            nearest = second if near.get(one, 0.0) == first else first
            lifts[one] = max(lifts.get(one, 0.0), faded * nearest**_SHARPNESS)
    return lifts
