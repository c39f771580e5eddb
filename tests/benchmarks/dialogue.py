"""Conversations out of nothing: seeded, plausible, varied turns of 8 to 30 words, nearly none of them alike."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any


def _choices(text: str) -> list[str]:
    return text.split("|")


_PEOPLE = _choices("Nora|Milan|Ines|Tariq|Greta|Pavel|Yuki|Amara|Lukas|Sofia|Dmitri|Carla|Hugo|Leila|Owen|Zofia")
_KIN = _choices("sister|brother|neighbour|cousin|colleague|aunt|flatmate|old teacher|coach|grandfather|boss|daughter")
_PLACES = _choices(
    "Lisbon|the harbour|Oslo|the old mill|the climbing hall|Kyoto|the allotment|the lake house|the city library|Porto|"
    "the night market|the observatory|the repair café|Bergen|the botanical garden|the swimming pool|Ghent|the farm"
)
_THINGS = _choices(
    "telescope|bread starter|blue bicycle|violin|greenhouse|tax return|camera|wooden boat|thesis draft|garden fence|"
    "coffee grinder|tent|piano|sewing machine|beehive|radio play|map of the trail|birthday cake|running shoes|pottery kiln"
)
_DOING = _choices(
    "repairing|painting|studying|selling|photographing|planning|translating|rebuilding|recording|sketching|organising|"
    "comparing|growing|packing|describing|borrowing"
)
_ADJECTIVES = _choices(
    "difficult|calm|surprising|expensive|delightful|slow|noisy|useful|frustrating|cheap|brilliant|odd"
)
_WHEN = _choices(
    "last Friday|two weeks ago|every Tuesday|in early spring|on the way home|next month|yesterday|before breakfast|"
    "after the storm|during the holidays|once a year|at the end of June"
)
_REASONS = _choices(
    "the rent went up|my back hurts|the train was cancelled|we ran out of flour|the doctor told me to|nobody else would|"
    "it reminds me of school|the weather turned|the old one broke|I promised it to the children"
)
_OPENINGS = (
    "I have been {doing} the {thing} with {person} at {place}",
    "My {kin} {person} moved to {place} and took the {thing} along",
    "{person} says that {doing} a {thing} near {place} is {adjective}",
    "I really prefer {doing} in {place} to anything with a {thing}",
    "We met {person} and my {kin} in {place} to talk about the {thing}",
    "It was {adjective} to see {person} {doing} that {thing} in {place}",
    "I am thinking of {doing} the {thing} for {person}, who lives by {place}",
    "The {thing} that {person} gave my {kin} cost {number} euros in {place}",
)
_ENDINGS = (
    " {when}, because {reason}.",
    " {when}. It felt {adjective}, and {reason}.",
    ", so we need about {number} more days. I will ask my {kin} {when}.",
    " {when}.",
    ", although {reason}. Would you have done the same {when}?",
    ". My {kin} thinks that is {adjective}, but {reason}.",
)
_FEWEST, _MOST = 8, 30


def sentence(source: random.Random) -> str:
    """Return one turn of 8 to 30 words."""
    while True:
        pattern = source.choice(_OPENINGS) + source.choice(_ENDINGS)
        text = pattern.format(
            doing=source.choice(_DOING),
            thing=source.choice(_THINGS),
            person=source.choice(_PEOPLE),
            place=source.choice(_PLACES),
            kin=source.choice(_KIN),
            adjective=source.choice(_ADJECTIVES),
            when=source.choice(_WHEN),
            reason=source.choice(_REASONS),
            number=source.randrange(2, 400),
        )
        if _FEWEST <= len(text.split()) <= _MOST:
            return text


def conversation(source: random.Random, number: int, turns: int) -> list[dict[str, Any]]:
    """Return the messages of a conversation: two speakers in turn, a minute or so apart, with ids and times."""
    moment = datetime(2025, 1, 6, 9, tzinfo=UTC) + timedelta(days=number)
    first, second = source.sample(_PEOPLE, 2)
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        moment += timedelta(seconds=source.randrange(20, 120))
        role, name = ("assistant", second) if turn % 2 else ("user", first)
        text = sentence(source)
        messages.append({"role": role, "name": name, "content": text, "time": moment, "id": f"c{number}:{turn}"})
    return messages


def conversations(seed: int, count: int, turns: int) -> Iterator[list[dict[str, Any]]]:
    """Yield ``count`` conversations; the same seed gives the same ones."""
    source = random.Random(seed)
    return (conversation(source, number, turns) for number in range(count))
