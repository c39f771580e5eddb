"""An extractor that adds ready-made facts to the statements of the rules: what a language model would have returned."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from memstream.events.payloads import ExtractedItem
from memstream.services.local.extractor import RuleExtractor, item_id_of, merged
from memstream.services.local.kinds import kind_of
from memstream.services.protocols import Embedder, Extraction, Material


class Fact(NamedTuple):
    """A statement of a model: who it is about, and the messages that it comes from."""

    text: str
    speaker: str
    evidence: tuple[str, ...]


class FactExtractor:
    """The rules' statements, and each fact whose messages are in the resource, filed where these are."""

    name = "rules-1+facts"

    def __init__(self, embedder: Embedder, facts: Mapping[str, Sequence[Fact]]) -> None:
        self._rules = RuleExtractor(embedder)
        self._facts = facts

    async def extract(self, material: Material) -> Extraction:
        """Return both."""
        found = await self._rules.extract(material)
        behind = {source.message_ids[0]: item for item in found.items for source in item.sources if source.message_ids}
        added = [
            self._item(material, fact, [behind[one] for one in fact.evidence if one in behind])
            for fact in self._facts.get(material.scope.user, ())
            if any(one in behind for one in fact.evidence)
        ]
        return found._replace(items=merged([*found.items, *added]))

    @staticmethod
    def _item(material: Material, fact: Fact, told: Sequence[ExtractedItem]) -> ExtractedItem:
        sources = [source for item in told for source in item.sources if set(source.message_ids) & set(fact.evidence)]
        return ExtractedItem(
            id=item_id_of(material.scope, fact.text, fact.speaker, ""),
            kind=kind_of(fact.text, spoken_by_user=True),
            text=fact.text,
            speaker=fact.speaker,
            happened=told[0].happened,
            categories=told[0].categories,
            sources=tuple(sources),
        )
