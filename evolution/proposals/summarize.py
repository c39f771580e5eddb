"""Summarize again: a file that failed questions whose statements its category holds, focused on what is asked."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from memstream.evolution.quoting import quoted

from .proposal import Proposal, View

_MOST = 16


def summarize(view: View) -> Iterator[Proposal]:
    """Propose files that quote what was used before, where they failed most."""
    failed: Counter[str] = Counter()
    for number in view.missed:
        for row in view.evidence.retrievals[number].used:
            homes = view.homes.get(row, ())
            failed.update(home for home in homes if row not in view.structure.shelves[home].quoted)
    for identifier, times in sorted(failed.items(), key=lambda one: (-one[1], one[0]))[:_MOST]:
        shelf = view.structure.shelves[identifier]
        focused = replace(shelf, quoted=quoted(shelf.items, view.facts, view.used))
        if focused.quoted != shelf.quoted:
            fresh = len(focused.quoted - shelf.quoted)
            reason = (
                f"the file of {shelf.name!r} left out what {times} questions needed: {fresh} other statements in it"
            )
            yield Proposal("summarize", (focused,), (), reason)
