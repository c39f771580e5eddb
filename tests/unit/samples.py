"""One complete sample of every event, for golden fixtures and round trips."""

from datetime import UTC, datetime
from typing import Any

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.evolution_payloads import EvolutionConfiguredData, EvolutionRevertedData, EvolutionTrialedData
from memstream.events.subjects import Scope
from memstream.events.types import Event

SCOPE = Scope.of("acme", "user 1/ä")
TIME = datetime(2024, 5, 1, 10, 0, tzinfo=UTC)
SPAN = p.Span(unit="message", start=1, end=2)
SOURCE = p.Source(resource_id="r-1", segment_id="s-1", span=SPAN, message_ids=("m2",), time=TIME)
USAGE = p.Usage(model="some-model", tokens_in=10, tokens_out=3, seconds=0.5)


Sample = tuple[Any, p.Frozen]


def _of_resources() -> list[Sample]:
    return [
        (
            t.ResourceIngested,
            p.ResourceIngestedData(
                resource_id="r-1",
                digest="a" * 64,
                size=12,
                modality="conversation",
                media_type="application/json",
                name="chat",
            ),
        ),
        (
            t.ResourceDescribed,
            p.ResourceDescribedData(
                resource_id="r-1",
                segments=(
                    p.Segment(
                        id="s-1", index=0, span=SPAN, text="Ana: hi", message_ids=("m2",), speakers=("Ana",), time=TIME
                    ),
                ),
                describer="messages-1",
            ),
        ),
        (
            t.ItemsExtracted,
            p.ItemsExtractedData(
                resource_id="r-1",
                items=(
                    p.ExtractedItem(
                        id="i-1",
                        kind="event",
                        text="Ana climbs",
                        context="before",
                        speaker="Ana",
                        happened=TIME,
                        categories=("c-1",),
                        sources=(SOURCE,),
                    ),
                ),
                skipped=(p.Skipped(span=SPAN, reason="small talk"),),
                extractor="rules-1",
                prompt_version="v1",
                usage=USAGE,
            ),
        ),
        (
            t.ExtractionFailed,
            p.ExtractionFailedData(resource_id="r-1", stage="extract", reason="timeout", attempt=1, parked=False),
        ),
    ]


def _of_items() -> list[Sample]:
    return [
        (t.ItemReinforced, p.ItemReinforcedData(item_id="i-1", source=SOURCE)),
        (t.ItemSuperseded, p.ItemSupersededData(item_id="i-1", by="i-2", reason="newer")),
        (t.ItemRevised, p.ItemRevisedData(item_id="i-1", text="Ana climbs often", context="", reason="clearer")),
        (t.ItemForgotten, p.ItemForgottenData(item_id="i-1", reason="asked for")),
    ]


def _of_categories() -> list[Sample]:
    return [
        (
            t.CategoryCreated,
            p.CategoryCreatedData(category_id="c-1", name="habits", description="Habits", origin="default"),
        ),
        (
            t.CategorySummarized,
            p.CategorySummarizedData(
                category_id="c-1",
                text="# habits [^i-1]",
                citations=("i-1",),
                covers=7,
                summarizer="extractive-1",
                prompt_version="v1",
                usage=USAGE,
            ),
        ),
        (
            t.ItemsRefiled,
            p.ItemsRefiledData(
                moves=(p.Refiling(item_id="i-1", source="c-1", target="c-2"),), reason="looked for there"
            ),
        ),
    ]


def _of_evolution() -> list[Sample]:
    return [
        (
            t.CategoriesMerged,
            p.CategoriesMergedData(
                step_id="e-1",
                sources=("c-1", "c-2"),
                target=p.CategoryDraft(category_id="c-3", name="both", description="Both", items=("i-1",)),
                reason="used together",
            ),
        ),
        (
            t.CategorySplit,
            p.CategorySplitData(
                step_id="e-2",
                source="c-3",
                targets=(p.CategoryDraft(category_id="c-4", name="one", description="One", items=("i-1",)),),
                reason="two themes",
            ),
        ),
        (
            t.EvolutionTrialed,
            EvolutionTrialedData(
                step_id="e-1",
                kind="merge",
                proposal="merge habits and hobbies",
                retrievals=40,
                before=0.6,
                after=0.5,
                interval=(0.02, 0.15),
                accepted=True,
                reason="cheaper",
            ),
        ),
        (
            t.EvolutionReverted,
            EvolutionRevertedData(
                step_id="e-1",
                moves=(p.Refiling(item_id="i-1", source="c-3", target="c-1"),),
                closed=("c-3",),
                reopened=("c-1",),
                reason="asked for",
            ),
        ),
    ]


def _of_use() -> list[Sample]:
    return [
        (
            t.VectorsEmbedded,
            p.VectorsEmbeddedData(
                space=p.Space(model="some", dimension=2),
                vectors=(p.Embedded(layer="item", id="i-1", vector="ADwAAA=="),),
                resource_id="r-1",
            ),
        ),
        (
            t.RetrievalServed,
            p.RetrievalServedData(
                retrieval_id="q-1",
                method="rag",
                original_query="and she?",
                rewritten_query="and Ana?",
                needs_retrieval=True,
                top_k=10,
                tiers=(p.ServedTier(layer="item", hits=(p.ServedHit(id="i-1", score=0.9),)),),
                sufficient_at="item",
                as_of=8,
                latency_ms=3.5,
                usage=USAGE,
            ),
        ),
        (
            t.FeedbackGiven,
            p.FeedbackGivenData(
                retrieval_id="q-1", used=("i-1",), helpful=(), wrong=("i-2",), missing="her address", missed=("i-3",)
            ),
        ),
    ]


def _of_operations() -> list[Sample]:
    return [
        (t.UserErased, p.UserErasedData(up_to=9, reason="asked for")),
        (t.HistoryErased, p.HistoryErasedData(layer="item", target="i-1", positions=(3, 5), reason="asked for")),
        (t.EventRedacted, p.EventRedactedData(position=3, recorded=TIME, event='{"id": "e-1"}')),
        (t.EventDropped, p.EventDroppedData(position=4, reason="half written by a foreign client")),
        (t.SpacePrepared, p.SpacePreparedData(space=p.Space(model="m", dimension=2), embedder="m-2")),
        (t.SpaceActivated, p.SpaceActivatedData(space=p.Space(model="m", dimension=2), embedder="m-2")),
        (t.EvolutionConfigured, EvolutionConfiguredData(policy="default", paused=True, reason="asked for")),
    ]


def samples() -> list[Event]:
    """Return one event of every type, all fields filled."""
    given = [
        *(*_of_resources(), *_of_items(), *_of_categories()),
        *(*_of_evolution(), *_of_use(), *_of_operations()),
    ]
    return [
        kind.of(
            SCOPE,
            data,
            id=f"00000000-0000-7000-8000-{number:012d}",
            time=TIME,
            correlation="00000000-0000-7000-8000-00000000c0de",
            agent="support-bot",
            session="s1",
            causation="00000000-0000-7000-8000-000000000000",
            actor="tests",
        )
        for number, (kind, data) in enumerate(given, start=1)
    ]
