"""Writing category files: what a writer gets and gives, and the extractive one, which needs no model."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from memstream.events.payloads import Usage
from memstream.events.subjects import Scope
from memstream.evolution.extractive import write_file
from memstream.evolution.staleness import GROWTH
from memstream.projections.models import Category, CategoryFile, Statement

EXTRACTIVE: Final = "extractive-1"


class Page(NamedTuple):
    """A category to write about: its statements, oldest first, their vectors, and its file so far.

    ``asked`` tells how much statements were asked for (id: weight): a file quotes those first.
    """

    category: Category
    items: Sequence[Statement]
    vectors: Mapping[str, NDArray[np.float32]]
    before: CategoryFile | None
    asked: Mapping[str, float] = {}


class Written(NamedTuple):
    """A category's new file."""

    category_id: str
    text: str
    citations: tuple[str, ...]
    summarizer: str
    prompt_version: str | None = None
    usage: Usage = Usage()


class FileWriter(Protocol):
    """Writes category files. ``growth`` is the share of new items at which a file is written again.

    ``thorough`` is that share when somebody waits for the files to be up to date.
    """

    growth: float
    thorough: float

    async def write(self, scope: Scope, pages: Sequence[Page]) -> list[Written]:
        """Return a file for every page; never fails for want of a model."""
        ...


class ExtractiveWriter:
    """Quotes the statements that stand for the rest."""

    growth = GROWTH
    thorough = 0.0

    async def write(self, scope: Scope, pages: Sequence[Page]) -> list[Written]:
        """Return a file for every page."""
        del scope
        return [extractive(page) for page in pages]


def extractive(page: Page) -> Written:
    """Return a page's file in its statements' own words."""
    draft = write_file(page.category, page.items, page.vectors, page.asked)
    return Written(page.category.id, draft.text, draft.citations, EXTRACTIVE)
