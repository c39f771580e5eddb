"""Recall: category, item, resource; each tier searched in turn, until one suffices.

Needs no language model: whether a tier suffices is judged by how the scores fall, and by how much of what the question
asks about its best hits contain (see ``sufficiency``).
"""

import asyncio
from collections.abc import Sequence

from memstream.events.subjects import Scope

from .changes import Changes
from .corpora import Corpora
from .corpus import Versions
from .cues import without_names
from .experience import Experience, Experiences
from .index import Index
from .ledger import Ledger
from .mentions import mentioned
from .models import CategoryHit, ItemHit, Recalled, ResourceHit
from .question import Question
from .statements import Statements
from .sufficiency import DOUBTFUL, ENOUGH
from .tiers import JUDGED_HITS, Items, category_hits, item_hits, nearest_of, resource_hits, shelves_of, weighed
from .words import content_words, spoken_date

# Share of the question's content words that the best hits must contain to be called sufficient.
_SUFFICIENT_COVERAGE = 0.75
_SUFFICIENT_SIMILARITY = 0.35
# So many questions are begun at once, the others wait their turn: a question goes through several queues, and would stand
# behind everybody who came after it in each of them.
_AT_ONCE = 4
# The files of so many categories are looked at for a line that answers.
_QUOTING = 2


class Recall:
    """Answers questions from one projection."""

    def __init__(self, ledger: Ledger, index: Index) -> None:
        self._ledger = ledger
        self.corpora = Corpora(ledger, index)
        self._experiences = Experiences(ledger)
        self._turn = asyncio.Semaphore(_AT_ONCE)

    def commit(self, changes: Changes, position: int, *, behind: bool) -> None:
        """Hear what a commit brought; ``behind`` a position that was reached before."""
        self.corpora.commit(changes, position, behind=behind)
        self._experiences.commit(changes, behind=behind)

    async def wording(self, scope: Scope, text: str, *, space: str | None, as_of: int) -> str:
        """Return what of a question to embed: all but the names of those who speak in this memory."""
        async with self.corpora.statements(scope.key, space) as statements:
            return without_names(text, statements.names(statements.visible(as_of)))

    async def mentioned(self, scope: Scope, text: str, *, space: str | None, as_of: int) -> list[str]:
        """Return the ids of the statements that a text speaks of."""
        async with self.corpora.statements(scope.key, space) as statements:
            return await self._ledger.reading(mentioned, statements, text, as_of)

    async def answer(self, scope: Scope, question: Question) -> Recalled:
        """Search the tiers in order and return what they found, with the first tier that sufficed."""
        moment = question.as_of
        experience = await self._experiences.of(scope.key, question.space)
        async with (
            self.corpora.statements(scope.key, question.space) as statements,
            self.corpora.categories(scope.key, question.space) as corpus,
            # Behind the loading, which may take seconds: nobody else is to wait for that.
            self._turn,
        ):
            categories, found = await self._ledger.reading(_searched, statements, corpus, question, experience)
        items, similar, sure = found
        if not question.exhaustive and (quoted := _quoted(question, categories, items)):
            items = _before(quoted, items)
            return Recalled(categories=categories, items=items, sufficient_at="category", as_of=moment)
        missing = _missing(question, [_searchable(hit) for hit in items[:JUDGED_HITS]])
        enough = _suffices(question, missing, similar) if sure is None else sure >= ENOUGH
        if enough and not question.exhaustive:
            return Recalled(
                categories=categories, items=items, sufficient_at="item", confidence=_told(sure), as_of=moment
            )
        async with self.corpora.segments(scope.key, question.space) as corpus:
            resources, below = await self._ledger.reading(resource_hits, corpus, question)
        resources = await self._with_items(scope, question, resources)
        read = [*(_searchable(hit) for hit in items[:JUDGED_HITS]), *(hit.text for hit in resources[:2])]
        missing = _missing(question, read)
        hopeless = sure is not None and sure < DOUBTFUL
        sufficed = not hopeless and _suffices(question, missing, max(similar, below))
        return Recalled(
            categories=categories,
            items=items,
            resources=resources,
            sufficient_at="item" if enough else "resource" if sufficed else None,
            confidence=_told(sure),
            as_of=moment,
            missing=tuple(sorted(missing)),
        )

    async def _with_items(
        self, scope: Scope, question: Question, hits: tuple[ResourceHit, ...]
    ) -> tuple[ResourceHit, ...]:
        """Name the statements that were extracted from each segment."""
        async with self.corpora.statements(scope.key, question.space) as statements:
            given = statements.given([hit.id for hit in hits], question.as_of)
        return tuple(hit.model_copy(update={"items": tuple(given[hit.id])}) for hit in hits)


def _searched(
    statements: Statements, corpus: Versions, question: Question, experience: Experience
) -> tuple[tuple[CategoryHit, ...], Items]:
    one = weighed(statements, question)
    near = nearest_of(statements, one, question)
    shelves = shelves_of(statements, near, question)
    evolved = {name: score for name, score in shelves.best.items() if corpus.evolved(name)}
    lifts = experience.lifts(
        question.vector,
        question.as_of,
        lambda item: statements.categories_of(item, question.as_of),
        near.by_id(statements.ids),
    )
    return category_hits(corpus, question, shelves), item_hits(statements, one, question, evolved, lifts)


def _quoted(question: Question, categories: Sequence[CategoryHit], items: Sequence[ItemHit]) -> list[ItemHit]:
    """Return the hits that the file of one of the first categories quotes as the answer."""
    quoted = set(quoted_answers(question.words, [(hit.summary, hit.items) for hit in categories[:_QUOTING]]))
    return [hit for hit in items if hit.id in quoted]


def quoted_answers(asked: frozenset[str], files: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the cited items of the file lines that hold every content word of the question (two at least).

    ``files`` are texts with the ids that they cite.
    """
    if len(asked) < 2:  # noqa: PLR2004 - one word alone matches too easily
        return []
    found: list[str] = []
    for text, citations in files:
        for line in text.splitlines():
            said = line.partition(" [^")[0].rstrip()
            # A question that memory holds has all the words of the question, and no answer.
            if not said.endswith("?") and asked <= set(content_words(said)):
                found += [item for item in citations if f"[^{item}]" in line]
    return list(dict.fromkeys(found))


def _before(first: Sequence[ItemHit], found: Sequence[ItemHit]) -> tuple[ItemHit, ...]:
    """Return the hits with those in front that a file quotes as the answer."""
    ids = {hit.id for hit in first}
    hits = [*first, *(hit for hit in found if hit.id not in ids)]
    return tuple(hit.model_copy(update={"rank": rank}) for rank, hit in enumerate(hits, start=1))


def _missing(question: Question, texts: Sequence[str]) -> set[str]:
    present = {word for text in texts for word in content_words(text)}
    return set(question.words - present)


def _told(sure: float | None) -> float | None:
    return None if sure is None else round(sure, 3)


def _suffices(question: Question, missing: set[str], similarity: float) -> bool:
    if not question.words:
        return similarity >= _SUFFICIENT_SIMILARITY
    coverage = 1 - len(missing) / len(question.words)
    return coverage >= _SUFFICIENT_COVERAGE and (question.vector is None or similarity >= _SUFFICIENT_SIMILARITY)


def _searchable(hit: ItemHit) -> str:
    return f"{spoken_date(hit.happened)} {hit.speaker or ''} {hit.text}"
