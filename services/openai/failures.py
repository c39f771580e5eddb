"""Memory's failures, kept away from the model's calls: each kind is logged once, and counted."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

logger = logging.getLogger("memstream.openai")

Step = Literal["retrieve", "memorize", "feedback"]
OnError = Literal["log", "raise"]
_LOST: dict[Step, str] = {
    "retrieve": "the model is called without memory",
    "memorize": "the exchange is not memorized",
    "feedback": "which items the answer used is not recorded",
}


class Failures:
    """Counts what failed, by step. A step that works again is logged again when it fails the next time."""

    def __init__(self, on_error: OnError) -> None:
        self.counts: Counter[Step] = Counter()
        self._on_error = on_error
        self._logged: set[Step] = set()
        self._kept: list[Exception] = []

    @contextmanager
    def contained(self, step: Step) -> Iterator[None]:
        """Count and log an error instead of raising it.

        With ``on_error="raise"`` a retrieval's error is raised here, one from the background by ``raise_kept``.
        """
        try:
            yield
        except Exception as error:  # whatever fails in memory, the model's answer is the caller's
            self.counts[step] += 1
            self._log(step, error)
            if self._on_error == "raise":
                if step == "retrieve":
                    raise
                self._kept.append(error)
        else:
            self._logged.discard(step)

    def raise_kept(self) -> None:
        """Raise the first error kept from the background, once; the others are counted only."""
        kept, self._kept = self._kept, []
        if kept:
            raise kept[0]

    def _log(self, step: Step, error: Exception) -> None:
        if step in self._logged:
            return
        self._logged.add(step)
        reason = f"{error}" or type(error).__name__
        logger.warning("%s failed: %s; %s (counted from now on, not logged)", step, reason, _LOST[step])
