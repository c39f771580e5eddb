"""The projector on a real log: one bad event is parked, everybody else goes on."""

import errno
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from memstream import AsyncMemory
from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.log import EventLog
from memstream.events.server import EmbeddedServer
from memstream.events.subjects import Scope
from memstream.projections.index import Index
from memstream.projections.ledger import Ledger
from memstream.services import operations as o

ANA, BEN = Scope.of("default", "ana"), Scope.of("default", "ben")


def served(**changes: object) -> t.RetrievalServed:
    data = {
        "retrieval_id": "q", "method": "rag", "original_query": "?", "rewritten_query": "?", "needs_retrieval": True,
        "top_k": 1, "tiers": (), "as_of": 0, "latency_ms": 0.0,
    }  # fmt: skip
    return t.RetrievalServed.of(ANA, p.RetrievalServedData.model_construct(**{**data, **changes}))


async def test_events_that_cannot_be_applied_are_parked_and_stop_nobody(server: EmbeddedServer, tmp_path) -> None:
    async with await EventLog.open(server.url) as log:
        js, subject = log.nc.jetstream(), served().subject
        hostile = [b"", b"not json", b"[" * 100_000, b'{"type": "retrieval.served"}', b"\xff\xfe"]
        huge = served().encode().replace(b'"top_k":1', b'"top_k":1000000000000000000000000000000')
        for body in [*hostile, huge]:
            await js.publish(subject, body)
        await js.publish("memstream.only-two", b"{}")
        await log.append(t.FeedbackGiven.of(ANA, p.FeedbackGivenData(retrieval_id="never served", used=("x",))))
        async with await AsyncMemory.open(tmp_path / "data", nats_url=server.url) as memory:
            ben = memory.user("ben")
            assert (
                await ben.memorize([{"role": "user", "content": "My flat is in Porto."}])
            ).resource.status == "ready"
            assert (await ben.counts()).parked == 0
            assert (await memory.user("ana").counts()).parked == len(hostile) + 2
            assert len(await memory.user("ana").events()) == len(hostile) + 2


async def test_values_that_a_store_cannot_hold_are_parked_alone(server: EmbeddedServer, tmp_path, monkeypatch) -> None:
    """Should a value slip through the contract, only its own event is parked, also in the middle of a batch."""
    async with await EventLog.open(server.url) as log:
        created = [
            t.CategoryCreated.of(
                ANA, p.CategoryCreatedData(category_id=f"c{n}", name=f"n{n}", description="d", origin="user")
            )
            for n in range(20)
        ]
        bad = t.ResourceIngested.of(
            ANA,
            p.ResourceIngestedData(
                resource_id="r", digest="a" * 64, size=1, modality="document", media_type="text/plain", name="x"
            ),
        )
        body = bad.encode().replace(b'"name":"x"', b'"name":"\\u0000"')
        await log.append_many(created[:10])
        await log.nc.jetstream().publish(bad.subject, body)
        await log.append_many(created[10:])
        async with await AsyncMemory.open(tmp_path / "data", nats_url=server.url) as memory:
            ana = memory.user("ana")
            await ana.settle()
            assert len(await ana.categories()) == 20


async def test_a_batch_that_failed_leaves_nothing_twice_also_when_taking_it_back_fails_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails for a moment: at the ledger's commit of a batch with vectors, and then at the index's cut."""
    publish, write, cut = Ledger.publish, Index.write, Index.cut
    wrote, failures = [False], list[str]()

    async def noted(index: Index, vectors: Mapping[str, pa.Table]) -> None:
        wrote[0] = bool(vectors)
        await write(index, vectors)

    def failing_commit(ledger: Ledger, position: int) -> None:
        if wrote[0] and not failures:
            failures.append("commit")
            raise OSError(errno.EIO, "the disk is gone for a moment")
        publish(ledger, position)

    async def failing_cut(index: Index, position: int) -> None:
        if failures == ["commit"]:
            failures.append("cut")
            raise OSError(errno.EIO, "the disk is gone for a moment")
        await cut(index, position)

    monkeypatch.setattr(Index, "write", noted)
    monkeypatch.setattr(Ledger, "publish", failing_commit)
    monkeypatch.setattr(Index, "cut", failing_cut)
    async with await AsyncMemory.open(tmp_path / "data") as memory:
        user = memory.user("ana")
        await user.memorize([{"role": "user", "content": "My flat is in Porto."}])
        await user.settle()
        assert failures == ["commit", "cut"]
        verified = await memory.operate(o.Verify())
        assert verified.matches, verified.difference


async def test_good_feedback_is_applied_after_wrong_feedback(server: EmbeddedServer, tmp_path) -> None:
    async with (
        await EventLog.open(server.url) as log,
        await AsyncMemory.open(tmp_path / "d", nats_url=server.url) as memory,
    ):
        user = memory.user("ana")
        await user.memorize([{"role": "user", "content": "My flat is in Porto."}])
        found = await user.retrieve("Where is the flat?")
        wrong = p.FeedbackGivenData(retrieval_id=found.retrieval_id, used=("made up",))
        await log.append(t.FeedbackGiven.of(ANA, wrong))
        await user.settle()
        await user.feedback(found.retrieval_id, used=[found.items[0].id])
        await user.settle()
        counts = await user.counts()
        assert (counts.feedback, counts.parked) == (1, 1)
