"""Work that waits for its user's ceiling of tokens, beside the queue: it takes no slot that other users' work needs.

The server counts what waits as in work (``max_ack_pending``) and would hand out nothing more once all slots are taken
by one user's. So the queue gets as many slots more as there is work waiting, and loses them when none is.
"""

import contextlib
import time
from collections.abc import Callable

from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from memstream.events.stream import STREAM

_LEAST_SECONDS = 5.0
# What waits is asked about so many times a second, all told.
_ASKED_PER_SECOND = 50
_FIT_SECONDS = 1.0


class Later(Exception):
    """Work is to be handed out again, in so many ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class WaitingRoom:
    """The positions that wait in one work queue of ``slots`` slots, as far as this process was handed them."""

    def __init__(
        self, jetstream: JetStreamContext, queue: str, slots: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jetstream = jetstream
        self._queue = queue
        self._slots = slots
        self._clock = clock
        self._seen: dict[int, float] = {}
        self._fitted = -_FIT_SECONDS

    def __contains__(self, position: int) -> bool:
        return position in self._seen

    def __len__(self) -> int:
        return len(self._seen)

    async def admit(self, position: int) -> float:
        """Keep a position waiting; returns after how many seconds it is to be asked about again."""
        self._seen[position] = self._clock()
        await self._fit()
        return self._delay()

    async def leave(self, position: int) -> None:
        """Let a position go, its work being done; positions that never waited are none of our business."""
        if self._seen.pop(position, None) is not None and not self._seen:
            await self._resize(self._slots)

    def _delay(self) -> float:
        return max(_LEAST_SECONDS, len(self._seen) / _ASKED_PER_SECOND)

    async def _fit(self) -> None:
        now = self._clock()
        if now - self._fitted < _FIT_SECONDS:
            return
        self._fitted = now
        # What was not handed to us again for so long is another process's, or done there.
        oldest = now - 10 * self._delay()
        self._seen = {position: seen for position, seen in self._seen.items() if seen >= oldest}
        waiting = self._slots * -(-len(self._seen) // self._slots)
        await self._resize(self._slots + waiting, shrink=False)

    async def _resize(self, slots: int, *, shrink: bool = True) -> None:
        """Give the queue its slots; without the server it keeps those it has, until the next time."""
        # Only how much work is handed out at once depends on it.
        with contextlib.suppress(NatsError, OSError):
            held = (await self._jetstream.consumer_info(STREAM, self._queue)).config
            if (held.max_ack_pending or 0) < slots or (shrink and held.max_ack_pending != slots):
                await self._jetstream.add_consumer(STREAM, held.evolve(max_ack_pending=slots))
