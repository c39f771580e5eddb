"""Random histories of events, valid and not, and a dump of what a projection makes of them."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.evolution_payloads import EvolutionConfiguredData
from memstream.events.ids import derived_id
from memstream.events.reading import Stored
from memstream.events.subjects import Scope
from memstream.events.types import Event
from memstream.projections.batch import Batch, applied, changes_of, decode_batch
from memstream.projections.changes import Changes
from memstream.projections.digest import Digest, digest_of
from memstream.projections.index import Index
from memstream.projections.ledger import Ledger
from memstream.projections.loading import load_state
from memstream.projections.packing import pack_vectors
from memstream.projections.schema import TABLES
from memstream.projections.state import references

USERS = [Scope.of("default", "ana"), Scope.of("default", "b.e n*"), Scope.of("other", "ana")]
TIME = datetime(2024, 5, 1, 10, 0, tzinfo=UTC)
IDS = st.sampled_from(["1", "2", "3"])
SPACE = p.Space(model="tiny", dimension=4)


def _source(resource: str) -> p.Source:
    return p.Source(
        resource_id=f"r{resource}", segment_id=f"s{resource}", span=p.Span(unit="message", start=0, end=1), time=TIME
    )


def _item(item: str, resource: str, category: str) -> p.ExtractedItem:
    return p.ExtractedItem(
        id=f"i{item}",
        kind="event",
        text=f"statement {item}",
        categories=(f"c{category}",),
        sources=(_source(resource),),
    )


def _segment(resource: str) -> p.Segment:
    return p.Segment(id=f"s{resource}", index=0, span=p.Span(unit="message", start=0, end=1), text=f"Ana: {resource}")


def _vector(layer: p.VectorLayer, identifier: str) -> p.Embedded:
    seed = int(derived_id(identifier)[:8], 16)
    halves = np.random.default_rng(seed).standard_normal(4).astype("<f2")
    return p.Embedded(layer=layer, id=identifier, vector=base64.b64encode(halves.tobytes()).decode())


def _ingested(one: str) -> tuple[Any, Any]:
    content = p.ResourceIngestedData(
        resource_id=f"r{one}", digest="a" * 64, size=1, modality="conversation", media_type="application/json", name=one
    )
    return t.ResourceIngested, content


def _described(one: str) -> tuple[Any, Any]:
    return t.ResourceDescribed, p.ResourceDescribedData(resource_id=f"r{one}", segments=(_segment(one),), describer="d")


def _extracted(one: str, two: str, three: str) -> tuple[Any, Any]:
    return t.ItemsExtracted, p.ItemsExtractedData(
        resource_id=f"r{one}", part=int(two), parts=3, items=(_item(two, one, three),), extractor="x"
    )


Made = tuple[type[Any], p.Frozen]


def _of_items(one: str, two: str) -> list[Made]:
    return [
        (t.ItemReinforced, p.ItemReinforcedData(item_id=f"i{one}", source=_source(two))),
        (t.ItemSuperseded, p.ItemSupersededData(item_id=f"i{one}", by=f"i{two}", reason="r")),
        (t.ItemRevised, p.ItemRevisedData(item_id=f"i{one}", text=f"revised {two}", reason="r")),
        (t.ItemForgotten, p.ItemForgottenData(item_id=f"i{one}", reason="r")),
    ]


def _of_categories(one: str, two: str, three: str) -> list[Made]:
    return [
        (
            t.CategoryCreated,
            p.CategoryCreatedData(category_id=f"c{one}", name=f"n{one}", description="d", origin="user"),
        ),
        (
            t.CategorySummarized,
            p.CategorySummarizedData(category_id=f"c{one}", text=f"# {two}", citations=(), covers=0, summarizer="s"),
        ),
        (
            t.ItemsRefiled,
            p.ItemsRefiledData(
                moves=(p.Refiling(item_id=f"i{one}", source=f"c{two}", target=f"c{three}"),), reason="r"
            ),
        ),
    ]


def _of_evolution(one: str, two: str, three: str) -> list[Made]:
    return [
        (
            t.CategoriesMerged,
            p.CategoriesMergedData(
                step_id="e",
                sources=(f"c{one}", f"c{two}"),
                target=p.CategoryDraft(category_id=f"c{three}", name="m", description="d", items=("i1", "i2")),
                reason="r",
            ),
        ),
        (
            t.CategorySplit,
            p.CategorySplitData(
                step_id="e",
                source=f"c{one}",
                targets=(
                    p.CategoryDraft(category_id=f"c{two}", name="x", description="d", items=("i1",)),
                    p.CategoryDraft(category_id=f"c{three}", name="y", description="d", items=("i2", "i3")),
                ),
                reason="r",
            ),
        ),
        (t.EvolutionConfigured, EvolutionConfiguredData(policy=f"p{one}", paused=one == two)),
    ]


def _of_use(one: str, two: str) -> list[Made]:
    return [
        (
            t.VectorsEmbedded,
            p.VectorsEmbeddedData(space=SPACE, vectors=(_vector("item", f"i{one}"), _vector("segment", f"s{two}"))),
        ),
        (
            t.RetrievalServed,
            p.RetrievalServedData(
                retrieval_id=f"q{one}",
                method="rag",
                original_query="?",
                rewritten_query="?",
                needs_retrieval=True,
                top_k=1,
                tiers=(p.ServedTier(layer="item", hits=(p.ServedHit(id=f"i{two}", score=1.0),)),),
                as_of=0,
                latency_ms=0.0,
            ),
        ),
        (t.FeedbackGiven, p.FeedbackGivenData(retrieval_id=f"q{one}", used=(f"i{two}",))),
    ]


@st.composite
def data(draw: st.DrawFn) -> Made:
    """Draw any event's data over a handful of ids, so that events meet, contradict and repeat each other."""
    one, two, three = draw(IDS), draw(IDS), draw(IDS)
    resources: list[Made] = [_ingested(one), _described(one), _extracted(one, two, three)]
    categories = [*_of_categories(one, two, three), *_of_evolution(one, two, three)]
    return draw(st.sampled_from([*resources, *_of_items(one, two), *categories, *_of_use(one, two)]))


@st.composite
def histories(draw: st.DrawFn) -> list[Stored]:
    """Draw a history as the log would hold it: a common beginning, then anything, broken messages among it."""
    opening = [
        (t.CategoryCreated, p.CategoryCreatedData(category_id=f"c{n}", name=f"n{n}", description="d", origin="user"))
        for n in "123"
    ]
    opening += [_ingested("1"), _described("1"), _extracted("1", "1", "1")]
    drawn = draw(st.lists(data(), max_size=40))
    scopes = draw(st.lists(st.sampled_from(USERS), min_size=len(drawn), max_size=len(drawn)))
    broken = draw(st.sets(st.integers(0, 60), max_size=3))
    pairs = [(scope, kind, value) for scope in USERS[:1] for kind, value in opening]
    pairs += [(scope, kind, value) for scope, (kind, value) in zip(scopes, drawn, strict=True)]
    return [
        stored(position, kind.of(scope, value, id=derived_id("history", position), time=TIME), position in broken)
        for position, (scope, kind, value) in enumerate(pairs, start=1)
    ]


def stored(position: int, event: Event, broken: bool = False) -> Stored:
    """Return an event as the log delivers it; a broken one is cut short."""
    body = event.encode()
    return Stored(position, event.subject, body[: len(body) // 2] if broken else body, TIME, 0)


async def project(history: list[Stored], cuts: list[int], directory: Path) -> dict[str, Any]:
    """Apply a history in batches that end at ``cuts`` to real stores, and dump them."""
    ledger, index = Ledger.open(directory / "ledger.duckdb"), await Index.open(directory / "index")
    try:
        edges = sorted({*(cut for cut in cuts if 0 < cut < len(history)), len(history)})
        for start, end in zip([0, *edges], edges, strict=False):
            if start == end:
                continue
            batch = decode_batch(history[start:end])
            changes = changes_of(ledger, batch)
            await index.write(pack_vectors(changes.vectors))
            commit(ledger, changes, batch.position)
        return await dump(ledger, index)
    finally:
        index.close()
        ledger.close()


def commit(ledger: Ledger, changes: Changes, position: int) -> None:
    """Write changes and the position that they reach, as a projector does."""
    ledger.stage(changes, position)
    ledger.publish(position)


def strict_changes_of(ledger: Ledger, batch: Batch) -> Changes:
    """Apply a batch of which nothing may be parked, as a rebuild does."""
    return applied(load_state(ledger, references(batch.events)), batch, strict=True)


async def dump(ledger: Ledger, index: Index) -> dict[str, Any]:
    """Return every row of both stores, in an order of their own."""
    tables: dict[str, Any] = {
        name: sorted(json.dumps(row, default=str) for row in ledger.rows(f"SELECT * FROM {name}")) for name in TABLES
    }
    for name, table in index._tables.items():
        rows = (await table.query().to_arrow()).to_pylist()
        tables[f"index/{name}"] = sorted(json.dumps(row, default=str) for row in rows)
    return tables


async def digest(history: list[Stored], cuts: list[int], directory: Path, *, as_of: int | None = None) -> Digest:
    """Project a history and return the digest of what it made."""
    await project(history, cuts, directory)
    ledger, index = Ledger.open(directory / "ledger.duckdb"), await Index.open(directory / "index")
    try:
        return await digest_of(ledger, index, as_of=as_of)
    finally:
        index.close()
        ledger.close()
