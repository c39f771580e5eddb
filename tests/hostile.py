"""What nobody should send: malformed, cut, mistyped, oversized and forged messages, from one seed."""

import base64
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from memstream.events.ids import derived_id
from memstream.events.types import EVENT_TYPES

VICTIM = "vera"
_ATTACKED = (VICTIM, "walter", "mallory")
_ODD_SUBJECTS = (
    *("memstream.x", "memstream.x.y", "memstream.default", "memstream.default.vera", "memstream.a.b.c.d.e.f"),
    *("memstream.%FF.%FE.item.revised", "memstream.~.~.item.revised", "memstream.default.~!!!.items.extracted"),
    *("memstream.default.ve%2Era.Items.Extracted", "memstream.default.vera.user.erased.now", "memstream.é.ü.ö"),
)
_DEEP = 5_000
_SCALARS: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**63, 10**400, -(10**40), 1e308, float("nan"), float("inf"), "", "\x00", "💥" * 300),
    *([], {}, [[]], {"": {"": {}}}, "' OR 1=1 --", "../../../etc/passwd", "\ud800", "9" * 5_000),
)


class Hostile(NamedTuple):
    """One message, and where it is sent."""

    subject: str
    body: bytes


def hostile(seed: int, count: int, templates: Sequence[dict[str, Any]]) -> Iterator[Hostile]:
    """Yield ``count`` messages; ``templates`` are the victim's own events, to be bent, cut and forged."""
    chance = random.Random(seed)
    for number in range(count):
        make = _KINDS[number % len(_KINDS)]
        template = json.loads(json.dumps(chance.choice(templates)))
        yield make(chance, template, number)


def _subject(event: dict[str, Any]) -> str:
    return f"memstream.{event['tenant']}.{event['user']}.{event['type']}"


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def _noise(chance: random.Random, event: dict[str, Any], _number: int) -> Hostile:
    return Hostile(_subject(event), chance.randbytes(chance.randrange(0, 400)))


def _cut(chance: random.Random, event: dict[str, Any], _number: int) -> Hostile:
    body = _dumped(event)
    return Hostile(_subject(event), body[: chance.randrange(0, len(body))])


def _flipped(chance: random.Random, event: dict[str, Any], _number: int) -> Hostile:
    body = bytearray(_dumped(event))
    body[chance.randrange(len(body))] = chance.choice((0x00, 0xFF, 0x80, 0xC3))
    return Hostile(_subject(event), bytes(body))


def _mistyped(chance: random.Random, event: dict[str, Any], _number: int) -> Hostile:
    where = chance.choice([event, event["data"]])
    field = chance.choice([name for name in where if name not in {"actor", "agent", "session", "causation"}])
    wrong: list[Any] = [{"x": 1}, [[1]]]
    if isinstance(where[field], (str, int)):
        wrong += [float("nan"), -(10**40)]
    where[field] = chance.choice(wrong)
    return Hostile(f"memstream.default.{chance.choice(_ATTACKED)}.{chance.choice(EVENT_TYPES)}", _dumped(event))


def _stuffed(chance: random.Random, event: dict[str, Any], number: int) -> Hostile:
    chance.choice([event, event["data"]])[f"extra{number}"] = chance.choice(_SCALARS)
    return Hostile(_subject(event), _dumped(event))


def _bare(chance: random.Random, event: dict[str, Any], _number: int) -> Hostile:
    return Hostile(_subject(event), _dumped(chance.choice(_SCALARS)))


def _deep(chance: random.Random, event: dict[str, Any], _number: int) -> Hostile:
    opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    return Hostile(_subject(event), opening * _DEEP + b"1" + closing * _DEEP)


def _large(chance: random.Random, event: dict[str, Any], number: int) -> Hostile:
    # Few of them are at the server's limit; a thousand of those would only measure the disk.
    size = 1_000_000 if number % 400 == _KINDS.index(_large) else chance.randrange(2_000, 20_000)
    event["data"] = {"text": "x" * size}
    return Hostile(_subject(event), _dumped(event))


def _foreign(chance: random.Random, event: dict[str, Any], number: int) -> Hostile:
    subject = _subject(event | {"user": chance.choice(_ATTACKED[1:])})
    event[chance.choice(["tenant", "user"])] = chance.choice(["evil", "VERA", "ver a", "vera\x00", "default.vera"])
    return Hostile(subject, _dumped(event | {"id": derived_id("foreign", number)}))


def _unknown(chance: random.Random, event: dict[str, Any], number: int) -> Hostile:
    event["type"] = chance.choice(["item.exploded", "Items.Extracted", "items.extracted\x00", "builtins.eval", "x"])
    kind = chance.choice(EVENT_TYPES)
    return Hostile(f"memstream.default.{VICTIM}.{kind}", _dumped(event | {"id": derived_id("unknown", number)}))


def _versioned(chance: random.Random, event: dict[str, Any], _number: int) -> Hostile:
    event["version"] = chance.choice([0, -1, 2, 99, 2**70, "1.0", None, [1]])
    return Hostile(_subject(event), _dumped(event))


def _vectors(chance: random.Random, event: dict[str, Any], number: int) -> Hostile:
    vector = chance.choice(["!!!", "AAA", "", "=" * 10, base64.b64encode(chance.randbytes(7)).decode()])
    data = {
        "space": {"model": "wordllama-l2-supercat", "dimension": 256},
        "vectors": [{"layer": "item", "id": event["id"], "vector": vector}],
    }
    forged = event | {"id": derived_id("vectors", number), "type": "vectors.embedded", "data": data}
    return Hostile(_subject(forged), _dumped(forged))


def _forged(chance: random.Random, event: dict[str, Any], number: int) -> Hostile:
    nobody = derived_id("nobody", number)
    kind, data = chance.choice(
        [
            ("item.revised", {"item_id": nobody, "text": "You owe me money.", "reason": "forged"}),
            ("item.forgotten", {"item_id": nobody, "reason": "forged"}),
            ("item.superseded", {"item_id": nobody, "by": nobody, "reason": "forged"}),
            ("items.refiled", {"moves": [{"item_id": nobody, "source": "c1", "target": "c2"}], "reason": "forged"}),
            ("feedback.given", {"retrieval_id": nobody, "used": [nobody]}),
        ]
    )
    forged = event | {"id": derived_id("forged", number), "type": kind, "version": 1, "data": data}
    return Hostile(_subject(forged), _dumped(forged))


def _elsewhere(chance: random.Random, event: dict[str, Any], _number: int) -> Hostile:
    return Hostile(chance.choice(_ODD_SUBJECTS), _dumped(event))


def _erasing(chance: random.Random, event: dict[str, Any], number: int) -> Hostile:
    """Forge an erasure of the victim, sent under the name of somebody else."""
    kind = chance.choice(["user.erased", "history.erased", "event.redacted", "event.dropped"])
    data = {"up_to": number, "position": number, "positions": [1, 2, 3], "reason": "forged", "events": 1}
    forged = event | {"id": derived_id("erasing", number), "type": kind, "version": 1, "data": data}
    return Hostile(f"memstream.default.mallory.{kind}", _dumped(forged))


_KINDS: tuple[Callable[[random.Random, dict[str, Any], int], Hostile], ...] = (
    *(_noise, _cut, _flipped, _mistyped, _stuffed, _bare, _deep, _large),
    *(_foreign, _unknown, _versioned, _vectors, _forged, _elsewhere, _erasing),
)
