"""Small memories for evolution's tests: statements about a few topics, and questions that used them."""

import random

import numpy as np

from memstream.evolution.evidence import Evidence, Fact, Facts, Recorded
from memstream.evolution.quoting import quoted
from memstream.evolution.structure import Shelf, Structure
from memstream.projections.words import content_words, count_tokens

TOPICS = ("beehive", "violin", "marathon", "greenhouse", "telescope", "bakery", "sailing", "pottery")
SAID = "Ana: the {topic} story number {number} told about {more}"
MORE = (
    "frames",
    "strings",
    "shoes",
    "tomatoes",
    "lenses",
    "flour",
    "ropes",
    "glaze",
    "honey",
    "bows",
    "miles",
    "seeds",
)


def facts_of(topics: int = 8, each: int = 12, seed: int = 6) -> Facts:
    """Return statements, a session for each topic, whose vectors lie around their topic's."""
    chance, words = np.random.default_rng(seed), random.Random(seed)
    centres = chance.standard_normal((topics, 32))
    rows: list[Fact] = []
    vectors: list[np.ndarray] = []
    for topic in range(topics):
        for number in range(each):
            more = f"{words.choice(MORE)} w{topic}x{number}"
            line = "- " + SAID.format(topic=TOPICS[topic], number=number, more=more)
            identifier = f"i{topic}-{number}"
            tokens = count_tokens(line + "\n")
            rows.append(
                Fact(identifier, line, tuple(content_words(line)), f"s{topic}", f"2024-05-{topic + 1:02}", tokens)
            )
            vectors.append(centres[topic] + 0.5 * chance.standard_normal(32))
    matrix = np.stack(vectors).astype(np.float32)
    return Facts(tuple(rows), matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


def shelf(identifier: str, rows: list[int], facts: Facts, **changes: object) -> Shelf:
    """Return a category that holds some rows, with the file that it would have."""
    held = tuple(sorted(rows))
    values = {"name": identifier, "description": "a theme", "quoted": quoted(held, facts), "origin": "default"}
    return Shelf(id=identifier, items=held, **(values | changes))  # type: ignore[arg-type]  # keywords by name


def scattered(facts: Facts, count: int = 2) -> Structure:
    """Return a structure that files every statement by its number: no category is about anything."""
    return Structure.of(shelf(f"c{place}", list(range(place, len(facts), count)), facts) for place in range(count))


def asked(facts: Facts, rows: list[int], seed: int = 6) -> Evidence:
    """Return retrievals, one for each row, that asked for it and used it among ten hits."""
    chance = np.random.default_rng(seed)
    recorded = [_recorded(facts, number, row, chance) for number, row in enumerate(rows)]
    return Evidence("acme\tana", 100, facts, tuple(recorded))


def _recorded(facts: Facts, number: int, row: int, chance: np.random.Generator) -> Recorded:
    vector = facts.vectors[row] + 0.1 * chance.standard_normal(facts.vectors.shape[1]).astype(np.float32)
    vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    others = [int(one) for one in chance.choice(len(facts), 9, replace=False) if one != row]
    words = frozenset(list(facts.rows[row].words)[1:4])
    return Recorded(f"q{number}", number + 1, words, vector, (row, *others), (row,))
