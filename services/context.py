"""Prompt-ready text: the best evidence first, each line with its source, within a budget of tokens."""

from collections.abc import Iterator

from memstream.projections.models import Recalled
from memstream.projections.words import count_tokens

_HEADINGS = {
    "items": "## What memory holds",
    "resources": "## From the original conversations and documents",
    "categories": "## Themes",
}
# So that extraction knows them again when an agent hands its context back.
HEADINGS = frozenset(_HEADINGS.values())


def pack_context(recalled: Recalled, max_tokens: int) -> str:
    """Write items, then segments, then category files as long as they fit; never more than ``max_tokens``.

    A line that does not fit is left out whole; tokens are estimated by ``count_tokens``.
    """
    lines: list[str] = []
    used = 0
    for section, entries in _sections(recalled):
        opened = False
        for entry in entries:
            addition = entry if opened else f"{_HEADINGS[section]}\n{entry}"
            # The line end that joins it is counted too.
            cost = count_tokens(addition + "\n")
            if used + cost > max_tokens:
                continue
            lines.append(addition)
            used += cost
            opened = True
    return "\n".join(lines)


def _sections(recalled: Recalled) -> Iterator[tuple[str, list[str]]]:
    yield (
        "items",
        [
            _item_line(
                hit.text,
                hit.speaker,
                f"{hit.happened:%Y-%m-%d}" if hit.happened else "",
                hit.id,
                outdated=hit.superseded_by is not None,
            )
            for hit in recalled.items
        ],
    )
    yield (
        "resources",
        [
            f"{hit.name}{f', {hit.time:%Y-%m-%d}' if hit.time else ''} [^{hit.id}]\n{hit.text}"
            for hit in recalled.resources
        ],
    )
    if recalled.sufficient_at == "category" or not recalled.items:
        yield "categories", [hit.summary for hit in recalled.categories if hit.summary]


def _item_line(text: str, speaker: str | None, day: str, identifier: str, *, outdated: bool) -> str:
    who = ", ".join(part for part in (day, speaker, "no longer so" if outdated else "") if part)
    return f"- {f'({who}) ' if who else ''}{' '.join(text.split())} [^{identifier}]"
