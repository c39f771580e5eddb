"""Reading memory as a reader would, from what the public interface shows: directory, files, items.

Written apart from ``evolution/objective.py``, which scores structures that do not exist: a test holds the two together.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from memstream import AsyncUser
from memstream.evolution.extractive import line_of
from memstream.projections.words import count_tokens

_CITATION = re.compile(r" ?\[\^[^\]]+\]")


class Page(NamedTuple):
    """A category: tokens of its directory line, of its file and of its items, what it holds and what its file quotes."""

    listed: int
    file: int
    items: int
    held: frozenset[str]
    quoted: frozenset[str]
    total: int


class Read(NamedTuple):
    """What one question had to read: see ``evolution.objective.Readings``."""

    cost: float
    first_file: bool
    files: bool
    first: int
    last: int
    categories: int
    recall: float = 0.0


async def read_pages(user: AsyncUser) -> dict[str, Page]:
    """Read every category of a user."""
    tokens: dict[str, int] = {}
    held: dict[str, set[str]] = {}
    while page := await user.items(limit=1_000, offset=len(tokens)):
        for item in page:
            tokens[item.id] = count_tokens(line_of(item.text, item.speaker, item.happened) + "\n")
            for category in item.categories:
                held.setdefault(category, set()).add(item.id)
    files = {file.category_id: file for file in await user.files()}
    total = max(1, sum(tokens.values()))
    pages: dict[str, Page] = {}
    for one in await user.categories():
        items, file = held.get(one.id, set()), files.get(one.id)
        text = _CITATION.sub("", file.text) if file else ""
        quoted = frozenset(file.citations if file else ()) & items
        listed = count_tokens(f"- {one.name}: {one.description}\n")
        read = sum(tokens[item] for item in items)
        pages[one.id] = Page(listed, count_tokens(text) if text else 0, read, frozenset(items), quoted, total)
    return pages


def measured(order: Sequence[str], pages: Mapping[str, Page], wanted: set[str]) -> Read:
    """Open categories in an order until all that is wanted was read; those that the order leaves out come last."""
    order = [*order, *(one for one in pages if one not in set(order))]
    missing = set(wanted)
    spent, rank, first, files = sum(page.listed for page in pages.values()), 0, 0, True
    total = next(iter(pages.values())).total
    for rank, one in enumerate(order, start=1):
        page = pages[one]
        first = first or (rank if page.held & missing else 0)
        spent += page.file
        missing -= page.quoted
        if not missing:
            return Read(spent / total, rank == 1, files, first, rank, len(pages))
        if page.held - page.quoted:
            files = False
            spent += page.items
            missing -= page.held
        if not missing:
            break
    return Read(spent / total, False, files, first or rank, rank, len(pages))
