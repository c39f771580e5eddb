"""Events that change the structure: categories come, go, are summarized, merged and split; items move.

An item that is live is in at least one category before and after each of them.
"""

from collections.abc import Iterable

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.types import Event

from .changes import Changes, Ending
from .refusal import Refused
from .state import CategoryFacts, State, holders


def apply_structure(state: State, event: Event, changes: Changes) -> None:
    """Apply an event about categories, evolution or erasure; raise ``Refused`` and change nothing."""
    scope = event.scope.key
    match event:
        case t.CategoryCreated():
            draft = p.CategoryDraft(
                category_id=event.data.category_id, name=event.data.name, description=event.data.description
            )
            _open(state, scope, draft, event.data.origin, event.position, changes)
        case t.CategorySummarized():
            _summarized(state, event, changes)
        case t.ItemsRefiled():
            _check_moves(state, scope, event.data.moves)
            for move in event.data.moves:
                if move.target is not None:
                    _need_category(state, scope, move.target)
            _move(state, scope, event.data.moves, event.position, changes)
        case t.CategoriesMerged():
            _merged(state, event, changes)
        case t.CategorySplit():
            _split(state, event, changes)
        case t.EvolutionTrialed():
            data = event.data
            changes.add(
                "trials",
                *(scope, data.step_id, data.kind, data.proposal, data.retrievals, data.before, data.after),
                *(*data.interval, data.accepted, data.reason, event.position),
            )
        case t.EvolutionReverted():
            _reverted(state, event, changes)
        case t.EvolutionConfigured():
            chosen = event.data
            changes.add("evolutions", scope, chosen.policy, chosen.paused, chosen.reason, event.position)
        case _:
            _told_about_the_log(event, changes)


def _told_about_the_log(event: Event, changes: Changes) -> None:
    """Note an erasure; redactions and drops tell a reader of the log what to read, and change nothing by themselves."""
    scope = event.scope.key
    match event:
        case t.UserErased():
            changes.add("erasures", scope, event.data.up_to, event.data.reason, event.position)
        case t.HistoryErased():
            changes.add("erasures", scope, event.position, event.data.reason, event.position)
        case t.EventRedacted() | t.EventDropped() | t.SpacePrepared() | t.SpaceActivated():
            pass
        case _:
            raise Refused(f"no projection knows events of type {event.type!r}")


def _open(state: State, scope: str, draft: p.CategoryDraft, origin: str, position: int, changes: Changes) -> None:
    key = (scope, draft.category_id)
    if (facts := state.categories.get(key)) is not None and facts.live:
        return
    state.categories[key] = CategoryFacts(True, draft.name, draft.description, origin)
    changes.add("categories", scope, draft.category_id, draft.name, draft.description, origin, position, None)


def _summarized(state: State, event: t.CategorySummarized, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    key = (scope, data.category_id)
    _need_category(state, scope, data.category_id)
    if data.covers >= event.position:
        raise Refused(f"a summary at position {event.position} cannot cover position {data.covers}")
    version = state.file_versions.get(key, 0) + 1
    state.file_versions[key] = version
    if version > 1:
        changes.endings.append(Ending("files", scope, ("category_id",), (data.category_id,), event.position))
    changes.add(
        "files",
        *(scope, data.category_id, version, data.text, list(data.citations), data.covers),
        *(data.summarizer, event.position, None),
    )


def _merged(state: State, event: t.CategoriesMerged, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    for source in data.sources:
        _need_category(state, scope, source)
    _need_items(state, scope, data.target.items)
    listed = set(data.target.items)
    for source in data.sources:
        _refuse_left_behind(source, holders(state, scope, source) - listed)
    moves = [
        p.Refiling(item_id=item, source=source, target=data.target.category_id)
        for item in data.target.items
        for source in data.sources
        if source in state.links.get((scope, item), set())
    ]
    _open(state, scope, data.target, "evolution", event.position, changes)
    _move(state, scope, moves, event.position, changes)
    closed = [source for source in data.sources if source != data.target.category_id]
    _close(state, scope, closed, event.position, changes)
    _step(changes, event, "merge", list(data.sources), [data.target.category_id], data.reason)


def _split(state: State, event: t.CategorySplit, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    _need_category(state, scope, data.source)
    for target in data.targets:
        _need_items(state, scope, target.items)
    kept = {target.category_id for target in data.targets}
    leaving = dict.fromkeys(item for target in data.targets for item in target.items)
    _refuse_left_behind(data.source, holders(state, scope, data.source) - set(leaving))
    for target in data.targets:
        _open(state, scope, target, "evolution", event.position, changes)
        moves = [p.Refiling(item_id=item, target=target.category_id) for item in target.items]
        _move(state, scope, moves, event.position, changes)
    moves = [
        p.Refiling(item_id=item, source=data.source)
        for item in leaving
        if not any(item in target.items for target in data.targets if target.category_id == data.source)
    ]
    _move(state, scope, moves, event.position, changes)
    if data.source not in kept:
        _close(state, scope, [data.source], event.position, changes)
    _step(changes, event, "split", [data.source], sorted(kept), data.reason)


def _reverted(state: State, event: t.EvolutionReverted, changes: Changes) -> None:
    scope, data = event.scope.key, event.data
    for category in (*data.reopened, *data.closed):
        if (scope, category) not in state.categories:
            raise Refused(f"category {category} never existed")
    after = _check_moves(state, scope, data.moves)
    for category in data.closed:
        held = {item for item in holders(state, scope, category) if category in after.get(item, {category})}
        _refuse_left_behind(category, held)
    for category in data.reopened:
        facts = state.categories[scope, category]
        draft = p.CategoryDraft(category_id=category, name=facts.name, description=facts.description)
        _open(state, scope, draft, facts.origin, event.position, changes)
    _move(state, scope, data.moves, event.position, changes)
    _close(state, scope, data.closed, event.position, changes)
    _step(changes, event, "revert", list(data.closed), list(data.reopened), data.reason)


def _check_moves(state: State, scope: str, moves: Iterable[p.Refiling]) -> dict[str, set[str]]:
    """Return each moved item's categories afterwards; refuse a move that leaves one in none."""
    after: dict[str, set[str]] = {}
    for move in moves:
        _need_items(state, scope, [move.item_id])
        held = after.setdefault(move.item_id, set(state.links.get((scope, move.item_id), set())))
        if move.source is not None:
            held.discard(move.source)
        if move.target is not None:
            held.add(move.target)
    for item, held in after.items():
        if not held:
            raise Refused(f"the move would leave item {item} in no category")
    return after


def _move(state: State, scope: str, moves: Iterable[p.Refiling], position: int, changes: Changes) -> None:
    for move in moves:
        held = state.links.setdefault((scope, move.item_id), set())
        if move.target is not None and move.target not in held:
            held.add(move.target)
            changes.add("links", scope, move.target, move.item_id, position, None)
        if move.source is not None and move.source in held and move.source != move.target:
            held.discard(move.source)
            key = (move.source, move.item_id)
            changes.endings.append(Ending("links", scope, ("category_id", "item_id"), key, position))


def _close(state: State, scope: str, categories: Iterable[str], position: int, changes: Changes) -> None:
    for category in categories:
        state.categories[scope, category] = state.categories[scope, category]._replace(live=False)
        changes.endings.append(Ending("categories", scope, ("id",), (category,), position))
        changes.endings.append(Ending("files", scope, ("category_id",), (category,), position))


def _refuse_left_behind(category: str, items: set[str]) -> None:
    if items:
        raise Refused(f"category {category} would be closed while it still holds item {min(items)}")


def _step(
    changes: Changes,
    event: t.CategoriesMerged | t.CategorySplit | t.EvolutionReverted,
    kind: str,
    sources: list[str],
    targets: list[str],
    reason: str,
) -> None:
    changes.add("steps", event.scope.key, event.data.step_id, kind, sources, targets, reason, event.position)


def _need_category(state: State, scope: str, category: str) -> None:
    facts = state.categories.get((scope, category))
    if facts is None or not facts.live:
        raise Refused(f"category {category} does not exist")


def _need_items(state: State, scope: str, items: Iterable[str]) -> None:
    for item in items:
        if (scope, item) not in state.items:
            raise Refused(f"item {item} does not exist")
