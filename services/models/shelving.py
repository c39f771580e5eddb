"""Where a model's statements are filed: categories that exist, and new ones that nobody talked it into."""

import re
from collections.abc import Mapping, Sequence

from memstream.events.payloads import CategoryCreatedData
from memstream.services.local.themes import DEFAULTS, category_id_of, shelves
from memstream.services.protocols import Extraction, Material

from .orders import gives_orders
from .statements import Believed

_NAME = re.compile(r"[^\W_]+(?:_[^\W_]+){0,3}")
_LONGEST_NAME = 40
_EASTERN = 0x2E80
_MACHINES = ("system", "tool")
# One resource opens no more categories than these.
_NEW = 3


class Shelving:
    """The categories of one resource's statements; ``created`` are those that have yet to be made."""

    def __init__(self, material: Material, verbatim: Extraction) -> None:
        self._scope = material.scope
        self._passages = material.passages
        offered = shelves(material.scope, material.categories)
        self._known: dict[str, str] = {one.name: one.id for one in material.categories}
        self._made = {one.name: one.created for one in offered if one.created is not None}
        self._known |= {name: one.category_id for name, one in self._made.items()}
        self._fallback = _by_passage(verbatim)
        self._opened: dict[str, CategoryCreatedData] = {}

    @staticmethod
    def names(material: Material) -> list[str]:
        """Return the names that a model is offered: the live categories, and those that everybody starts with."""
        return list(dict.fromkeys([*(one.name for one in material.categories), *DEFAULTS]))

    @property
    def created(self) -> list[CategoryCreatedData]:
        """The categories that may have to be made."""
        return [*self._made.values(), *self._opened.values()]

    def place(self, said: Believed) -> tuple[str, ...]:
        """Return the categories of a statement: those it names, or else those of the words it rests on."""
        named = [self._named(name, said) for name in said.categories]
        found = [one for one in named if one is not None]
        for passage in said.passages if not found else ():
            found += self._fallback.get((passage.start, passage.end), ())
        return tuple(dict.fromkeys(found))[:2] or (self._known["knowledge"],)

    def _named(self, name: str, said: Believed) -> str | None:
        plain = re.sub(r"\W+", "_", name.casefold()).strip("_")
        if plain in self._known:
            return self._known[plain]
        # What a transcript orders founds nothing, nor does what no person said, nor a name that is a sentence.
        too_long = len(plain) > _LONGEST_NAME or _NAME.fullmatch(plain) is None
        ordered = any(passage.role in _MACHINES or gives_orders(passage.text) for passage in said.passages)
        if not plain or too_long or ordered or len(self._opened) >= _NEW or self._dictated(plain, said):
            return None
        created = CategoryCreatedData(
            category_id=category_id_of(self._scope, plain),
            name=plain,
            description=plain.replace("_", " ").capitalize(),
            origin="extraction",
        )
        self._opened[plain] = created
        self._known[plain] = created.category_id
        return created.category_id

    def _dictated(self, plain: str, said: Believed) -> bool:
        """Tell whether a name stands in the transcript, but not where the statement comes from: somebody put it there."""
        if any(_names(plain, passage.text) for passage in said.passages):
            return False
        return any(_names(plain, passage.text) for passage in self._passages)


def _names(plain: str, text: str) -> bool:
    words = "_" + re.sub(r"\W+", "_", text.casefold()) + "_"
    # Where no spaces part the words, a name is anywhere in them.
    return plain in words if any(ord(one) >= _EASTERN for one in plain) else f"_{plain}_" in words


def _by_passage(verbatim: Extraction) -> Mapping[tuple[int, int], Sequence[str]]:
    found: dict[tuple[int, int], list[str]] = {}
    for item in verbatim.items:
        for source in item.sources:
            found.setdefault((source.span.start, source.span.end), []).extend(item.categories)
    return found
