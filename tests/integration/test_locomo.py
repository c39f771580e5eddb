"""A real data set, whole: every conversation is memorized, and answers trace to message ids.

The data is not part of the repository; where it is not there, the test says so and is skipped.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memstream import AsyncMemory

DATA = Path(__file__).parents[3] / "shared" / "data" / "locomo_dev.json"
pytestmark = [
    # Measurement data that must not be copied into the project (CC BY-NC): it lies beside the checkout, or it does not.
    pytest.mark.skipif(not DATA.is_file(), reason="the LoCoMo development file is not beside this checkout"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def conversations() -> list[dict[str, Any]]:
    return json.loads(DATA.read_text())


@pytest.fixture(scope="module")
async def memory(tmp_path_factory: pytest.TempPathFactory, conversations) -> AsyncIterator[AsyncMemory]:
    """Memorize every session of every conversation, one user a conversation."""
    async with await AsyncMemory.open(tmp_path_factory.mktemp("locomo")) as opened:
        for conversation in conversations:
            user = opened.user(conversation["id"])
            for session in conversation["sessions"]:
                await user.memorize(messages_of(session), session=str(session["session"]), wait=False)
        for conversation in conversations:
            await opened.user(conversation["id"]).settle(timeout=300)
        yield opened


def messages_of(session: dict[str, Any]) -> list[dict[str, Any]]:
    when = datetime.strptime(session["date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
    return [
        {
            "role": "user",
            "name": turn["speaker"],
            "content": turn["text"] + (f" [photo: {turn['caption']}]" if turn["caption"] else ""),
            "time": when,
            "id": turn["id"],
        }
        for turn in session["turns"]
    ]


async def test_every_turn_is_in_a_segment_and_every_resource_is_ready(memory: AsyncMemory, conversations) -> None:
    for conversation in conversations:
        user = memory.user(conversation["id"])
        resources = await user.resources(limit=1_000)
        assert {resource.status for resource in resources} == {"ready"}
        kept = {
            message for one in resources for segment in await user.segments(one.id) for message in segment.message_ids
        }
        assert kept == {turn["id"] for session in conversation["sessions"] for turn in session["turns"]}
        assert (await user.counts()).parked == 0


async def test_the_first_twenty_questions_are_answered_from_messages_that_exist(
    memory: AsyncMemory, conversations
) -> None:
    conversation = conversations[0]
    texts = {one["id"]: one["content"] for session in conversation["sessions"] for one in messages_of(session)}
    user, found_evidence = memory.user(conversation["id"]), 0
    for question in conversation["questions"][:20]:
        found = await user.retrieve(question["question"], top_k=10, exhaustive=True)
        assert len(found.items) == 10
        traced = [message for hit in found.items for source in hit.sources for message in source.message_ids]
        assert traced
        assert set(traced) <= texts.keys()
        for hit in found.items:
            spoken = " ".join(texts[message] for source in hit.sources for message in source.message_ids)
            assert hit.text in spoken
        found_evidence += bool(set(traced) & set(question["evidence"]))
    # Plain word search finds the evidence of eleven of them.
    assert found_evidence >= 14
