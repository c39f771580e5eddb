"""Deleting messages so that their bytes are gone from the disk.

JetStream's ``MSG.DELETE`` overwrites what it deletes; a purge by subject leaves the plaintext in its files.
"""

import asyncio
import json
from collections.abc import Iterable

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from .errors import LogUnavailable

_AT_ONCE = 16


async def erase_messages(nc: Client, stream: str, sequences: Iterable[int]) -> None:
    """Overwrite and delete messages of a stream; one that is gone already is passed over."""
    js = nc.jetstream(timeout=10)
    wanted = sorted(set(sequences))
    for start in range(0, len(wanted), _AT_ONCE):
        await asyncio.gather(*(_erase(js, stream, sequence) for sequence in wanted[start : start + _AT_ONCE]))


async def deleted_positions(nc: Client, stream: str) -> set[int]:
    """Return the sequences that a stream no longer holds, up to its present end."""
    try:
        reply = await nc.request(f"$JS.API.STREAM.INFO.{stream}", b'{"deleted_details":true}', timeout=10)
        state = json.loads(reply.data)["state"]
    except (NatsError, TimeoutError, KeyError, ValueError) as error:
        raise LogUnavailable(f"the log does not answer: {error!r}; is the server up?") from error
    return set(state.get("deleted") or ()) | set(range(1, int(state["first_seq"])))


async def _erase(js: JetStreamContext, stream: str, sequence: int) -> None:
    try:
        await js.delete_msg(stream, sequence)
    except NotFoundError:
        return
    except APIError as error:
        # Somebody else may be finishing the same erasure.
        if "not found" not in str(error.description) and "no message found" not in str(error.description):
            raise LogUnavailable(f"the server did not delete message {sequence}: {error.description}") from error
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"the server did not delete message {sequence}: {error!r}; repeat the command") from error
