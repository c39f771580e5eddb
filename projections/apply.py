"""``apply(state, event)``: the pure function that turns the log into the three layers.

No clock, no random, no network, no model. An event that contradicts what came before raises ``Refused``; then
neither the state nor the changes of the batch have been touched.
"""

import binascii

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.types import Event

from .changes import Changes, Ending, IndexedVector
from .refusal import Refused
from .state import ItemFacts, Key, State, extraction_stage
from .structure import apply_structure

_FREE = p.Usage()


def apply(state: State, event: Event) -> Changes:
    """Return what ``event`` changes and advance ``state`` past it; raise ``Refused`` and change nothing."""
    changes = Changes()
    match event:
        case t.ResourceIngested():
            _ingested(state, event, changes)
        case t.ResourceDescribed():
            _described(state, event, changes)
        case t.ItemsExtracted():
            _extracted(state, event, changes)
        case t.ExtractionFailed():
            _failed(state, event, changes)
        case t.ItemReinforced():
            _reinforced(state, event, changes)
        case t.ItemSuperseded() | t.ItemForgotten():
            _item_changed(state, event, changes)
        case t.ItemRevised():
            _revised(state, event, changes)
        case t.VectorsEmbedded():
            _embedded(state, event, changes)
        case t.RetrievalServed():
            _served(state, event, changes)
        case t.FeedbackGiven():
            _feedback(state, event, changes)
        case _:
            apply_structure(state, event, changes)
    changes.add(
        "events",
        event.position,
        event.id,
        event.type,
        event.scope.key,
        event.time,
        event.recorded,
        event.causation,
        event.correlation,
    )
    return changes


def _ingested(state: State, event: t.ResourceIngested, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    if (scope, data.resource_id) in state.resources:
        return
    state.resources.add((scope, data.resource_id))
    changes.add(
        "resources",
        *(scope, data.resource_id, data.name, data.modality, data.media_type, data.digest, data.size),
        *(event.session, event.agent, event.time, event.position, None),
    )


def _described(state: State, event: t.ResourceDescribed, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    _need_resource(state, scope, data.resource_id)
    if not _new_part(state, scope, data.resource_id, "described", data.part):
        return
    _part(changes, event, "described", data.describer, len(data.segments), usage=data.usage or _FREE)
    for segment in data.segments:
        if (scope, segment.id) in state.segments:
            continue
        state.segments.add((scope, segment.id))
        changes.add(
            "segments",
            *(scope, segment.id, data.resource_id, segment.index),
            *(segment.span.unit, segment.span.start, segment.span.end, segment.text),
            *(list(segment.message_ids), list(segment.speakers), segment.time, event.position, None),
        )


def _extracted(state: State, event: t.ItemsExtracted, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    _need_resource(state, scope, data.resource_id)
    for item in data.items:
        _check_item(state, scope, item)
    if not _new_part(state, scope, data.resource_id, extraction_stage(data.run), data.part):
        return
    if not data.items:
        # Nothing of it will be embedded: this alone may make the resource ready.
        changes.touched.add(data.resource_id)
    _part(changes, event, "extracted", data.extractor, len(data.items), data.prompt_version, data.usage)
    for skip in data.skipped:
        changes.add(
            "skipped",
            *(scope, data.resource_id, skip.span.unit, skip.span.start, skip.span.end),
            *(skip.reason, skip.item_id, event.position),
        )
    for item in data.items:
        _add_item(state, event, item, changes)


def _check_item(state: State, scope: str, item: p.ExtractedItem) -> None:
    if not item.categories:
        raise Refused(f"item {item.id} is in no category")
    for category in item.categories:
        facts = state.categories.get((scope, category))
        if facts is None or not facts.live:
            raise Refused(f"item {item.id} is filed in category {category}, which does not exist")
    for source in item.sources:
        if (scope, source.segment_id) not in state.segments:
            raise Refused(f"item {item.id} cites segment {source.segment_id}, which does not exist")


def _add_item(state: State, event: t.ItemsExtracted, item: p.ExtractedItem, changes: Changes) -> None:
    """Add a statement; one that is known already only gains sources (its id is its identity)."""
    scope = event.scope.key
    key = (scope, item.id)
    if key not in state.items:
        state.items[key] = ItemFacts(True, item.kind, item.speaker, item.happened)
        changes.add(
            "items",
            *(scope, item.id, item.kind, item.text, item.context, item.speaker, item.happened),
            *(event.position, None, None, None),
        )
        for category in item.categories:
            link(state, scope, category, item.id, event.position, changes)
    elif not state.items[key].live and event.data.run > 0:
        # It had given way to another extractor's words; its text, vector and links are still there.
        state.items[key] = state.items[key]._replace(live=True)
        changes.add(
            "items",
            *(scope, item.id, item.kind, item.text, item.context, item.speaker, item.happened),
            *(event.position, None, None, None),
        )
    for source in item.sources:
        _add_source(state, scope, item.id, source, event.position, changes)


def _add_source(state: State, scope: str, item_id: str, source: p.Source, position: int, changes: Changes) -> None:
    identity = (scope, item_id, source.segment_id, source.span.start, source.span.end)
    if identity in state.sources:
        return
    state.sources.add(identity)
    changes.add(
        "sources",
        *(scope, item_id, source.resource_id, source.segment_id),
        *(source.span.unit, source.span.start, source.span.end),
        *(list(source.message_ids), source.time, position, None),
    )


def _failed(state: State, event: t.ExtractionFailed, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    _need_resource(state, scope, data.resource_id)
    changes.touched.add(data.resource_id)
    changes.add(
        "failures",
        scope,
        data.resource_id,
        data.stage,
        data.reason,
        data.attempt,
        data.parked,
        event.position,
    )


def _reinforced(state: State, event: t.ItemReinforced, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    _need_item(state, (scope, data.item_id))
    if (scope, data.source.segment_id) not in state.segments:
        raise Refused(f"item {data.item_id} cites segment {data.source.segment_id}, which does not exist")
    _add_source(state, scope, data.item_id, data.source, event.position, changes)


def _item_changed(state: State, event: t.ItemSuperseded | t.ItemForgotten, changes: Changes) -> None:
    scope, item_id = event.scope.key, event.data.item_id
    facts = _need_item(state, (scope, item_id))
    successor, word = None, "forgotten"
    if isinstance(event, t.ItemSuperseded):
        successor = event.data.by
        word = "superseded" if event.data.relation == "extracted again" else event.data.relation
        _need_item(state, (scope, successor))
        if successor == item_id:
            raise Refused(f"item {item_id} cannot supersede itself")
    state.items[scope, item_id] = facts._replace(live=False)
    reason = f"{word}: {event.data.reason}"
    changes.endings.append(Ending("items", scope, ("id",), (item_id,), event.position, reason, successor))


def _revised(state: State, event: t.ItemRevised, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    facts = _need_item(state, (scope, data.item_id))
    reason = f"revised: {data.reason}"
    changes.endings.append(Ending("items", scope, ("id",), (data.item_id,), event.position, reason))
    changes.add(
        "items",
        *(scope, data.item_id, facts.kind, data.text, data.context, facts.speaker, facts.happened),
        *(event.position, None, None, None),
    )


def _embedded(state: State, event: t.VectorsEmbedded, changes: Changes) -> None:
    scope, space = event.scope.key, space_name(event.data.space)
    for embedded in event.data.vectors:
        _need_embeddable(state, scope, embedded)
    dimension = event.data.space.dimension
    vectors = [_vector(one, dimension) for one in event.data.vectors]
    for embedded, vector in zip(event.data.vectors, vectors, strict=True):
        if embedded.layer == "query":
            changes.add("query_vectors", scope, embedded.id, space, vector, event.position)
            continue
        identity = (scope, space, embedded.layer, embedded.id)
        # A category's file changes, so its vector may come again; facts are embedded once per space.
        if embedded.layer != "category" and identity in state.vectors:
            continue
        state.vectors.add(identity)
        changes.add("vectors", scope, space, embedded.layer, embedded.id, event.position)
        changes.vectors.append(IndexedVector(scope, embedded.layer, embedded.id, event.position, space, vector))
    if event.data.resource_id:
        changes.touched.add(event.data.resource_id)
        changes.add(
            "embeddings",
            *(scope, event.data.resource_id, event.causation, space, len(event.data.vectors), event.position),
        )


def _need_embeddable(state: State, scope: str, embedded: p.Embedded) -> None:
    key = (scope, embedded.id)
    match embedded.layer:
        case "item":
            known = key in state.items
        case "segment":
            known = key in state.segments
        case "category":
            known = key in state.categories
        case "query":
            known = key in state.retrievals
    if not known:
        raise Refused(f"a vector for {embedded.layer} {embedded.id}, which does not exist")


def _vector(embedded: p.Embedded, dimension: int) -> bytes:
    try:
        raw = binascii.a2b_base64(embedded.vector, strict_mode=True)
    except binascii.Error as error:
        raise Refused(f"the vector of {embedded.id} is not base64: {error}") from error
    if len(raw) != 2 * dimension:
        raise Refused(f"the vector of {embedded.id} has {len(raw)} bytes, not 2 × {dimension}")
    return raw


def _served(state: State, event: t.RetrievalServed, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    key = (scope, data.retrieval_id)
    if key in state.retrievals:
        return
    state.retrievals[key] = {hit.id for tier in data.tiers for hit in tier.hits}
    changes.add(
        "retrievals",
        *(scope, data.retrieval_id, data.method, data.original_query, data.rewritten_query),
        *(data.needs_retrieval, data.top_k, data.sufficient_at, data.as_of, data.latency_ms),
        *(event.agent, event.session, event.time, event.position),
    )
    for tier in data.tiers:
        for rank, hit in enumerate(tier.hits, start=1):
            changes.add("hits", scope, data.retrieval_id, tier.layer, hit.id, rank, hit.score, event.position)


def _feedback(state: State, event: t.FeedbackGiven, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    served = state.retrievals.get((scope, data.retrieval_id))
    if served is None:
        raise Refused(f"feedback for retrieval {data.retrieval_id}, which was not served to this user")
    if foreign := sorted({*data.used, *data.helpful, *data.wrong} - served):
        raise Refused(f"feedback for {foreign[0]}, which retrieval {data.retrieval_id} did not return")
    changes.add("feedback", scope, event.id, data.retrieval_id, data.missing, event.time, event.position)
    told = {"used": data.used, "helpful": data.helpful, "wrong": data.wrong, "missed": data.missed}
    for verdict, ids in told.items():
        for hit in ids:
            changes.add("verdicts", scope, data.retrieval_id, hit, verdict, event.position)


def link(state: State, scope: str, category: str, item: str, position: int, changes: Changes) -> None:
    """File an item in a category, once."""
    held = state.links.setdefault((scope, item), set())
    if category not in held:
        held.add(category)
        changes.add("links", scope, category, item, position, None)


def space_name(space: p.Space) -> str:
    """Return the name that a space has in tables: its model and dimension."""
    return f"{space.model}@{space.dimension}"


def _need_resource(state: State, scope: str, resource_id: str) -> None:
    if (scope, resource_id) not in state.resources:
        raise Refused(f"resource {resource_id} was never ingested")


def _need_item(state: State, key: Key) -> ItemFacts:
    facts = state.items.get(key)
    if facts is None or not facts.live:
        raise Refused(f"item {key[1]} does not exist or has ended")
    return facts


def _new_part(state: State, scope: str, resource_id: str, stage: str, part: int) -> bool:
    identity = (scope, resource_id, stage, part)
    if identity in state.parts:
        return False
    state.parts.add(identity)
    return True


def _part(
    changes: Changes,
    event: t.ResourceDescribed | t.ItemsExtracted,
    stage: str,
    author: str,
    statements: int,
    prompt_version: str | None = None,
    usage: p.Usage = _FREE,
) -> None:
    changes.add(
        "parts",
        *(event.scope.key, event.data.resource_id, event.id, stage),
        *(getattr(event.data, "run", 0), event.data.part, event.data.parts),
        *(statements, author, prompt_version, usage.model, usage.tokens_in, usage.tokens_out, usage.seconds),
        event.position,
    )
