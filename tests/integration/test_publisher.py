"""Publishing from an agent runtime: events alone, no database."""

import subprocess
import sys

import pytest

from memstream import AsyncMemory
from memstream.events import EventPublisher, InvalidInput, Scope
from memstream.events.server import EmbeddedServer


async def test_what_a_runtime_publishes_is_memorized_by_whoever_follows_the_log(
    server: EmbeddedServer, tmp_path, conversation
) -> None:
    async with await EventPublisher.connect(server.url) as publisher:
        published = await publisher.publish_conversation("ana", conversation, name="chat-1")
        async with await AsyncMemory.open(tmp_path / "data", nats_url=server.url) as memory:
            user = memory.user("ana")
            await user.settle()
            found = await user.retrieve("What does Ana do on weekends?")
            assert found.items[0].sources[0].resource_id == published.resource_id
            await publisher.publish_feedback("ana", found.retrieval_id, used=[found.items[0].id])
            await publisher.publish_feedback("ana", found.retrieval_id, used=["never served"])
            end = (await publisher.log.state()).last_position
            await user.settle()
            counts = await user.counts()
            assert counts.position >= end - 1
            assert counts.feedback == 1


async def test_publishing_the_same_conversation_twice_is_one_event(server: EmbeddedServer, conversation) -> None:
    async with await EventPublisher.connect(server.url) as publisher:
        first = await publisher.publish_conversation("ana", conversation)
        again = await publisher.publish_conversation("ana", conversation)
        assert again.resource_id == first.resource_id
        assert again.event.duplicate
        assert await publisher.log.counts(Scope.of("default", "ana")) == {"resource.ingested": 1}


async def test_a_bad_conversation_writes_nothing(server: EmbeddedServer) -> None:
    async with await EventPublisher.connect(server.url) as publisher:
        with pytest.raises(InvalidInput, match="message 1: role"):
            await publisher.publish_conversation("ana", [{"role": "robot", "content": "x"}])
        assert (await publisher.log.state()).messages == 0


@pytest.mark.parametrize("module", ["memstream", "memstream.events"])
def test_importing_the_publisher_loads_no_database_and_no_framework(module: str) -> None:
    code = (
        f"import sys, {module}; "
        "print([m for m in ('duckdb', 'lancedb', 'faststream', 'fastapi', 'numpy', 'pyarrow', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
