"""A memory that was used: sessions about different things, questions about them, and what of the answers was of use."""

from datetime import UTC, datetime, timedelta
from typing import Any

from memstream import AsyncUser
from memstream.services.reads import Retrieved

TOPICS: dict[str, tuple[str, ...]] = {
    "beehive": ("frames", "honey", "smoker", "queen", "swarm", "wax", "veil", "nectar", "hive tool", "drones"),
    "violin": ("strings", "bow", "rosin", "sonata", "teacher", "recital", "tuning", "scales", "case", "duet"),
    "marathon": ("shoes", "miles", "blisters", "pace", "medal", "hills", "water", "coach", "start number", "finish"),
    "greenhouse": (
        "tomatoes",
        "glass",
        "watering",
        "seedlings",
        "aphids",
        "compost",
        "heater",
        "basil",
        "shelf",
        "door",
    ),
    "telescope": ("lenses", "Saturn", "tripod", "moon", "clouds", "eyepiece", "comet", "mirror", "atlas", "dew"),
    "bakery": ("flour", "oven", "rye", "yeast", "counter", "croissants", "apron", "delivery", "scale", "customers"),
}


def sessions() -> list[list[dict[str, Any]]]:
    """Return a conversation for each topic, a day apart."""
    start = datetime(2024, 5, 1, 10, tzinfo=UTC)
    return [
        [
            {
                "id": f"{topic}-{number}",
                "role": "user",
                "name": ("Ana", "Ben")[number % 2],
                "content": f"Today the {thing} of my {topic} kept me busy, and I told my sister about the {thing}.",
                "time": (start + timedelta(days=day, minutes=number)).isoformat(),
            }
            for number, thing in enumerate(things)
        ]
        for day, (topic, things) in enumerate(TOPICS.items())
    ]


async def memorized(user: AsyncUser) -> None:
    """Memorize every session."""
    for messages in sessions():
        await user.memorize(messages, timeout=120)
    await user.settle()


async def asked(user: AsyncUser, every: int = 1) -> list[Retrieved]:
    """Ask about the things, one after another through all topics, and say which statement was of use."""
    answers: list[Retrieved] = []
    for number in range(0, 10, every):
        for topic, things in TOPICS.items():
            answer = await user.retrieve(f"What about the {things[number]} of the {topic}?", exhaustive=True)
            used = [hit.id for hit in answer.items if f"{topic}-{number}" in hit.sources[0].message_ids]
            await user.feedback(answer.retrieval_id, used=used or [answer.items[0].id])
            answers.append(answer)
    return answers
