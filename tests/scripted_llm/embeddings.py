"""Deterministic embeddings: texts that share words are near each other, in every process and on every machine."""

import base64
import hashlib
import math
import re
import struct
from collections.abc import Sequence
from typing import Any

from .tokens import count

_WORD = re.compile(r"\w+")


def vector(text: str, dimension: int) -> list[float]:
    """Return a unit vector: each word adds its sign to the few places that its hash names."""
    sums = [0.0] * dimension
    for word in _WORD.findall(text.casefold()) or [text]:
        digest = hashlib.sha256(word.encode("utf-8", "replace")).digest()
        for (place,) in struct.iter_unpack("<I", digest[:16]):
            sums[place % dimension] += 1.0 if place & 0x8000_0000 else -1.0
    # Words may cancel each other out; a vector of nothing but zeros has no direction.
    length = math.sqrt(sum(value * value for value in sums))
    return [value / length for value in sums] if length else [1.0, *sums[1:]]


def inputs_of(body: dict[str, Any]) -> list[str]:
    """Return the texts to embed: one, several, or token numbers in place of text."""
    given = body.get("input", "")
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [str(given)]
    return [one if isinstance(one, str) else str(one) for one in given]


def embeddings_body(body: dict[str, Any], dimension: int, missing: int) -> dict[str, Any]:
    """Return the answer to an embeddings request, in the encoding that it asks for."""
    texts = inputs_of(body)
    encode = _base64 if body.get("encoding_format") == "base64" else list
    tokens = sum(count(text) for text in texts)
    return {
        "object": "list",
        "model": body.get("model", ""),
        "data": [
            {"object": "embedding", "index": index, "embedding": encode(vector(text, dimension))}
            for index, text in enumerate(texts[: len(texts) - missing])
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _base64(values: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
