"""Filing statements under categories: the ten that a user starts with, the live ones, and a document's own.

A statement goes where its vector is nearest to the category's description, helped by cue words; a second
category is added when it is nearly as near.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from memstream.events.ids import derived_id
from memstream.events.payloads import CategoryCreatedData, Kind
from memstream.events.subjects import Scope
from memstream.projections.models import CategoryName
from memstream.projections.words import content_words
from memstream.services.protocols import Embedder, Matrix

_CUE_WEIGHT = 0.12
_MOST_CUES = 2
_NEARLY = 0.03
_KIND_WEIGHT = 0.06


class Theme(NamedTuple):
    """A category that a user starts with: its description, and words that are typical of it."""

    description: str
    cues: str


DEFAULTS: Final[dict[str, Theme]] = {
    "personal_info": Theme(
        "Personal information about the user",
        "name age birthday born live address city country nationality allergic health doctor identity pronouns hometown",
    ),
    "preferences": Theme(
        "Likes and dislikes",
        "like love prefer favorite favourite enjoy dislike hate taste fan instead rather color food music dish flavour",
    ),
    "relationships": Theme(
        "Information about relationships with others",
        "friend family mother father mom dad sister brother wife husband partner son daughter kids parents grandma "
        "neighbour colleague married dating roommate cousin aunt uncle together dog cat pet",
    ),
    "activities": Theme(
        "Activities, hobbies and interests",
        "hobby hike hiking run running swim climb paint painting draw game play guitar piano cook bake garden camp "
        "camping read book movie film dance yoga photography football pottery band concert sail cycling",
    ),
    "goals": Theme(
        "Goals, aspirations and objectives",
        "goal plan hope dream want wish aim target save apply aspire intend someday future ambition resolution going",
    ),
    "experiences": Theme(
        "Past experiences and events",
        "went visited trip travel travelled vacation festival wedding party happened saw attended moved remember "
        "yesterday ago last weekend accident event celebrated conference",
    ),
    "knowledge": Theme(
        "Knowledge, facts and learned information",
        "fact learn means because works called definition explain how step recipe guide example method version system "
        "data code temperature",
    ),
    "opinions": Theme(
        "Opinions, viewpoints and perspectives",
        "think believe opinion feel agree disagree important should overrated underrated honestly view seems worth",
    ),
    "habits": Theme(
        "Habits, routines and patterns",
        "usually always every daily weekly morning evening routine habit often never regularly weekends mondays sundays wake",
    ),
    "work_life": Theme(
        "Work and professional life",
        "work job boss office manager team project meeting career company client deadline salary interview business "
        "shop store startup promotion hired colleague shift resume",
    ),
}
_KIND_HOME: Final[dict[Kind, str]] = {
    "profile": "personal_info",
    "event": "experiences",
    "knowledge": "knowledge",
    "behavior": "habits",
    "skill": "activities",
    "tool": "work_life",
}


class Shelf(NamedTuple):
    """A category to file under, with its cue words; ``created`` when it has yet to be made."""

    category_id: str
    name: str
    description: str
    cues: frozenset[str]
    created: CategoryCreatedData | None


def category_id_of(scope: Scope, name: str) -> str:
    """Return the id of a category: one per name and user, whoever makes it first."""
    return derived_id(scope.key, "category", name)


def shelves(scope: Scope, live: Sequence[CategoryName]) -> list[Shelf]:
    """Return the live categories and those defaults that this user does not have yet.

    The category that a document opened holds that document, and one that evolution made an episode: nothing else is
    filed there by nearness.
    """
    found = [
        Shelf(one.id, one.name, one.description, _cues(one.name, one.description), None)
        for one in live
        if one.origin not in ("extraction", "evolution")
    ]
    known = {shelf.category_id for shelf in found}
    for name, theme in DEFAULTS.items():
        identifier = category_id_of(scope, name)
        if identifier not in known:
            created = CategoryCreatedData(
                category_id=identifier, name=name, description=theme.description, origin="default"
            )
            found.append(Shelf(identifier, name, theme.description, _cues(name, theme.description), created))
    return found


def document_shelf(scope: Scope, title: str) -> Shelf:
    """Return the category that a document opens: it is read under its own title."""
    name = re.sub(r"\W+", "_", title.lower()).strip("_")[:60] or "documents"
    description = f"From the document “{title}”"
    created = CategoryCreatedData(
        category_id=category_id_of(scope, name), name=name, description=description, origin="extraction"
    )
    return Shelf(created.category_id, name, description, frozenset(), created)


class Classifier:
    """Files statements under shelves."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def file(
        self, texts: Sequence[str], kinds: Sequence[Kind], offered: Sequence[Shelf]
    ) -> list[tuple[Shelf, ...]]:
        """Return one or two shelves for each text."""
        if not texts:
            return []
        profiles = await self._embedder.embed(
            [f"{_plain(one.name)}. {one.description}. {' '.join(sorted(one.cues))}" for one in offered]
        )
        vectors = await self._embedder.embed(texts)
        scores: Matrix = vectors @ profiles.T
        scores += _CUE_WEIGHT * _cue_counts(texts, offered)
        scores += _KIND_WEIGHT * _kind_fit(kinds, offered)
        return [self._pick(row, offered) for row in scores]

    @staticmethod
    def _pick(scores: Matrix, offered: Sequence[Shelf]) -> tuple[Shelf, ...]:
        order = np.argsort(-scores, kind="stable")
        chosen = [offered[order[0]]]
        if len(order) > 1 and scores[order[0]] - scores[order[1]] < _NEARLY:
            chosen.append(offered[order[1]])
        return tuple(chosen)


def _cue_counts(texts: Sequence[str], offered: Sequence[Shelf]) -> Matrix:
    counts = np.zeros((len(texts), len(offered)), dtype=np.float32)
    for row, text in enumerate(texts):
        present = set(content_words(text))
        for column, shelf in enumerate(offered):
            counts[row, column] = min(_MOST_CUES, len(present & shelf.cues))
    return counts


def _kind_fit(kinds: Sequence[Kind], offered: Sequence[Shelf]) -> Matrix:
    columns: Mapping[str, int] = {shelf.name: column for column, shelf in enumerate(offered)}
    fit = np.zeros((len(kinds), len(offered)), dtype=np.float32)
    for row, kind in enumerate(kinds):
        if (column := columns.get(_KIND_HOME[kind])) is not None:
            fit[row, column] = 1.0
    return fit


def _cues(name: str, description: str) -> frozenset[str]:
    theme = DEFAULTS.get(name)
    return frozenset(content_words(f"{_plain(name)} {description} {theme.cues if theme else ''}"))


def _plain(name: str) -> str:
    return name.replace("_", " ")
