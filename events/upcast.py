"""Upcasting: stored events of old versions are lifted one version at a time to today's.

An upcaster is a pure function from the JSON object of version *n* of a type to that of version *n + 1*. The log
is never rewritten; a golden fixture for each released version proves that it still loads.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

Document = dict[str, Any]
Upcaster = Callable[[Document], Document]


class Upcasters:
    """The registered steps, by ``(type, from_version)``."""

    def __init__(self, steps: Mapping[tuple[str, int], Upcaster] | None = None) -> None:
        self._steps = dict(steps or {})

    def lift(self, document: Document) -> Document:
        """Apply every step that fits, in order; a document without a step comes back unchanged."""
        while step := self._steps.get((str(document.get("type")), _version(document))):
            before = _version(document)
            document = {**step(document), "version": before + 1}
        return document

    def lift_json(self, body: bytes | str) -> Document | None:
        """Lift stored bytes; None when they are no JSON object or no step applies."""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict):
            return None
        lifted = self.lift(document)
        return None if lifted is document else lifted


def _version(document: Document) -> int:
    version = document.get("version")
    return version if isinstance(version, int) else 0


# No released type has a second version yet.
UPCASTERS = Upcasters()
