"""Gathering a batch: small when the log is quiet, large under load, and never long while somebody waits for it."""

import asyncio
from collections.abc import Callable

from memstream.events.errors import LogUnavailable
from memstream.events.reading import Stored

MAX_BATCH = 1_000
# A batch also ends at this many bytes, so that vectors of a large model cannot fill the memory.
_MAX_BATCH_BYTES = 8 * 1024 * 1024
# A commit costs as much for ten events as for a hundred: when this many wait already, more are coming.
_BUSY = 4
_STEP_SECONDS = 0.03
# Commits that nobody waits for take the processor from those who ask and those who add: better few and large ones.
_LONGEST_SECONDS = 0.24


async def next_batch(
    queue: "asyncio.Queue[Stored]", reader: "asyncio.Task[None]", hurried: Callable[[], bool]
) -> list[Stored]:
    """Wait for one message and take what is there; if that is much, gather until nothing comes for a moment.

    ``hurried`` tells whether somebody waits for what is coming: then there is one short moment only. Raises what
    ended ``reader``, which fills the queue, or LogUnavailable.
    """
    getter = asyncio.ensure_future(queue.get())
    try:
        await asyncio.wait({getter, reader}, return_when=asyncio.FIRST_COMPLETED)
        if not getter.done():
            await reader
            raise LogUnavailable("the log's reader ended")
    finally:
        getter.cancel()
    batch = [getter.result()]
    _drain(queue, batch)
    if len(batch) >= _BUSY:
        clock = asyncio.get_running_loop().time
        until, before = clock() + _LONGEST_SECONDS, 0
        while before < len(batch) and clock() < until and not reader.done():
            before = len(batch)
            await asyncio.wait({reader}, timeout=_STEP_SECONDS)
            _drain(queue, batch)
            if hurried():
                break
    return batch


def _drain(queue: "asyncio.Queue[Stored]", batch: list[Stored]) -> None:
    size = sum(len(stored.body) for stored in batch)
    while len(batch) < MAX_BATCH and size < _MAX_BATCH_BYTES and not queue.empty():
        batch.append(queue.get_nowait())
        size += len(batch[-1].body)
