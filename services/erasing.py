"""Erasure: an item, a resource with everything derived from it, or a user, out of every file there is.

In this order, so that a crash anywhere is repaired by the next start or the next call: what is left is appended
together with a tombstone, the originals are overwritten in the log and the object store, and the projection is
built again from what is left. The files of older projections are deleted.
"""

import base64
import io
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from memstream.events import payloads as p
from memstream.events import types as t
from memstream.events.errors import InvalidEvent, NotFound, Unavailable
from memstream.events.log import EventLog
from memstream.events.publisher import MEDIA
from memstream.events.reading import Stored
from memstream.events.redacting import Content, Embeddable, Erased, Redactor
from memstream.events.redaction import TOMBSTONES
from memstream.events.subjects import Scope
from memstream.events.types import Event
from memstream.projections.reader import Reader

from . import operations as o
from .memory import MemoryProcess
from .protocols import Embedder
from .reads import Settle

_SETTLE_SECONDS = 120.0
_GONE = "The original was removed, because a statement in it was to be forgotten."
_NOTHING_LEFT = (_GONE.encode(), "text/plain")


class _Pass(NamedTuple):
    """What a pass over a history found: what is left of each event, and the texts to embed again."""

    left: list[tuple[Stored, Event | None]]
    unreadable: list[Stored]
    changed: dict[Embeddable, str]


class Erasing:
    """The erasures of one memory process."""

    def __init__(self, log: EventLog, memory: MemoryProcess, embedder: Embedder) -> None:
        self._log = log
        self._memory = memory
        self._embedder = embedder

    async def operate(self, operation: o.ForgetItem | o.ForgetResource | o.ForgetUser) -> o.Forgotten:
        """Erase from the log and the object store; the caller builds the projection again."""
        scope = operation.needed_scope
        await self._log.finish_erasures()
        await self._settled(scope)
        match operation:
            case o.ForgetItem():
                return await self._item(scope, operation.item_id, operation.reason)
            case o.ForgetResource():
                return await self._resource(scope, operation.resource_id, operation.reason)
            case o.ForgetUser():
                return await self._user(scope, operation.reason)

    async def _item(self, scope: Scope, item_id: str, reason: str) -> o.Forgotten:
        with self._memory.projection.use() as at:
            reader = Reader(at.ledger, scope)
            item = await at.ledger.reading(reader.item, item_id)
            rows = await at.ledger.reading(
                at.ledger.rows, "SELECT DISTINCT text FROM items WHERE scope = ? AND id = ?", [scope.key, item_id]
            )
        erased = Erased(items=frozenset({item.id}), texts=tuple(row[0] for row in rows))
        return await self._erase(scope, "item", item_id, erased, reason)

    async def _resource(self, scope: Scope, resource_id: str, reason: str) -> o.Forgotten:
        with self._memory.projection.use() as at:
            ledger = at.ledger
            await ledger.reading(Reader(ledger, scope).resource, resource_id)
            values = {"scope": scope.key, "resource": resource_id}
            items = await ledger.reading(
                ledger.rows,
                "SELECT item_id FROM sources WHERE scope = $scope GROUP BY item_id "
                "HAVING bool_and(resource_id = $resource)",
                values,
            )
            gone = frozenset(row[0] for row in items)
            categories = await ledger.reading(
                ledger.rows,
                "SELECT c.id FROM categories c LEFT JOIN links l ON l.scope = c.scope AND l.category_id = c.id "
                "WHERE c.scope = $scope AND c.origin = 'extraction' GROUP BY c.id "
                "HAVING count(l.item_id) > 0 AND bool_and(list_contains($items::VARCHAR[], l.item_id))",
                {"scope": scope.key, "items": sorted(gone)},
            )
        erased = Erased(
            items=gone, resources=frozenset({resource_id}), categories=frozenset(row[0] for row in categories)
        )
        return await self._erase(scope, "resource", resource_id, erased, reason)

    async def _user(self, scope: Scope, reason: str) -> o.Forgotten:
        end = (await self._log.state()).last_position
        own = await self._of_user(scope, until=end)
        if not own:
            raise NotFound(f"nothing of user {scope.user!r} is in the log: unknown, or erased already")
        tombstone = await self._log.append(t.UserErased.of(scope, p.UserErasedData(up_to=end, reason=reason)))
        await self._log.delete([stored.position for stored in own])
        await self._log.resources.erase(scope)
        return o.Forgotten(layer="user", target=scope.user, removed=len(own), redacted=0, tombstone=tombstone.position)

    async def _of_user(self, scope: Scope, *, until: int) -> list[Stored]:
        """Return a user's messages up to a position, tombstones left out."""
        return [
            stored
            async for stored in self._log.read_stored(until=until, scope=scope)
            if not stored.subject.endswith(TOMBSTONES)
        ]

    async def _erase(self, scope: Scope, layer: Any, target: str, erased: Erased, reason: str) -> o.Forgotten:
        contents, old = await self._blot_contents(scope, erased)
        space = self._embedder.space
        first = await self._pass(scope, Redactor(erased, contents, space=space))
        vectors = await self._embedded(first.changed)
        done = await self._pass(scope, Redactor(erased, contents, vectors, space))
        affected = [(stored, left) for stored, left in done.left if left is None or left.position < 0]
        positions = sorted({stored.position for stored, _ in affected} | {one.position for one in done.unreadable})
        if not positions:
            raise NotFound(f"no {layer} {target!r} in the log: erased already")
        data = p.HistoryErasedData(layer=layer, target=target, positions=tuple(positions), reason=reason)
        tombstone = t.HistoryErased.of(scope, data)
        redactions: list[Event] = [
            t.EventRedacted.of(scope, _redaction(stored, left), cause=tombstone)
            for stored, left in affected
            if left is not None
        ]
        # The tombstone comes last: what it lists may be deleted only when all that is left is in the log.
        appended = await self._log.append_many([*redactions, tombstone], split=True)
        await self._log.delete(positions)
        await self._log.resources.erase(scope, old)
        return o.Forgotten(
            layer=layer,
            target=target,
            removed=len(positions) - len(redactions),
            redacted=len(redactions),
            tombstone=appended[-1].position,
        )

    async def _pass(self, scope: Scope, redactor: Redactor) -> _Pass:
        left: list[tuple[Stored, Event | None]] = []
        unreadable: list[Stored] = []
        async for stored in self._log.read_stored(scope=scope):
            event = _readable(stored)
            if event is None:
                if redactor.blot(text := stored.body.decode("utf-8", "replace")) != text:
                    unreadable.append(stored)
                continue
            after = redactor.redact(event)
            # A changed event is marked by a position that no event has.
            marked = after if after is event or after is None else after.model_copy(update={"position": -1})
            left.append((stored, marked))
        return _Pass(left, unreadable, redactor.changed)

    async def _embedded(self, changed: dict[Embeddable, str]) -> dict[Embeddable, p.Embedded]:
        vectors = await self._embedder.embed(list(changed.values()))
        return {
            key: p.Embedded(
                layer=cast("p.VectorLayer", key[1]),
                id=key[2],
                vector=base64.b64encode(np.asarray(vector, dtype="<f2").tobytes()).decode(),
            )
            for key, vector in zip(changed, vectors, strict=True)
        }

    async def _blot_contents(self, scope: Scope, erased: Erased) -> tuple[dict[str, Content], list[str]]:
        """Store blotted copies of the resources that hold erased words; return them and the digests to erase."""
        redactor = Redactor(erased)
        contents: dict[str, Content] = {}
        old: list[str] = []
        shown = await self._shown(scope, redactor) if erased.texts else frozenset[str]()
        async for event in self._readable_events(scope, ("resource.ingested",)):
            assert isinstance(event, t.ResourceIngested)
            if event.data.resource_id in erased.resources:
                old.append(event.data.digest)
            elif event.data.modality in MEDIA and event.data.resource_id not in shown:
                continue
            elif erased.texts and event.data.resource_id not in contents:
                original = io.BytesIO()
                await self._log.resources.get(scope, event.data.digest, original)
                held = event.data.resource_id in shown
                blotted = (
                    _NOTHING_LEFT
                    if event.data.modality in MEDIA
                    else blotted_content(original.getvalue(), event.data.media_type, redactor, shown=held)
                )
                if blotted is not None:
                    stored = await self._log.resources.put(scope, io.BytesIO(blotted[0]))
                    contents[event.data.resource_id] = Content(stored.digest, stored.size, blotted[1])
                    old.append(event.data.digest)
        return contents, old

    async def _shown(self, scope: Scope, redactor: Redactor) -> frozenset[str]:
        """Return the resources whose description holds erased words: an image shows them where no search finds them."""
        found: set[str] = set()
        async for event in self._readable_events(scope, ("resource.described",)):
            assert isinstance(event, t.ResourceDescribed)
            if any(redactor.blot(segment.text) != segment.text for segment in event.data.segments):
                found.add(event.data.resource_id)
        return frozenset(found)

    async def _readable_events(self, scope: Scope, types: Sequence[str]) -> AsyncIterator[Event]:
        async for stored in self._log.read_stored(scope=scope, types=types):
            if (event := _readable(stored)) is not None:
                yield event

    async def _settled(self, scope: Scope) -> None:
        """Wait until nothing of the user is in work: it would come back behind the tombstone."""
        try:
            await self._memory.ask(Settle(tenant=scope.tenant, user=scope.user, timeout=_SETTLE_SECONDS))
        except Unavailable as error:
            raise Unavailable(
                f"something of this user is still being processed, nothing was erased: {error}"
            ) from error


def blotted_content(content: bytes, media_type: str, redactor: Redactor, *, shown: bool) -> tuple[bytes, str] | None:
    """Return a resource's bytes without the erased words and their media type; None when they hold none of them.

    What is neither text nor JSON (a PDF) cannot be searched, nor blotted: where its description has ``shown`` the
    words, its original goes as a whole.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _NOTHING_LEFT if shown else None
    if "json" in media_type:
        # In JSON the words may be escaped; their lines are JSON each.
        lines = [_blotted_json(line, redactor) for line in ([text] if _is_json(text) else text.split("\n"))]
        blotted = "\n".join(lines)
    else:
        blotted = redactor.blot(text)
    return None if blotted == text else (blotted.encode(), media_type)


def _blotted_json(text: str, redactor: Redactor) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return redactor.blot(text)
    blotted = _walked(document, redactor)
    return text if blotted == document else json.dumps(blotted, ensure_ascii=False)


def _walked(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, str):
        return redactor.blot(value)
    if isinstance(value, list):
        return [_walked(one, redactor) for one in value]
    if isinstance(value, dict):
        return {key: _walked(one, redactor) for key, one in value.items()}
    return value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _redaction(stored: Stored, left: Event) -> p.EventRedactedData:
    event = left.model_copy(update={"position": 0, "recorded": None})
    return p.EventRedactedData(position=stored.position, recorded=stored.recorded, event=event.encode().decode())


def _readable(stored: Stored) -> Event | None:
    try:
        return stored.decode()
    except InvalidEvent:
        # Nothing of it was memorized; what it holds goes with its user.
        return None
