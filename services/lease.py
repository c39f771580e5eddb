"""A lease: of several processes that could do something, one does it at a time.

Kept in a JetStream key-value bucket whose entries expire by themselves, so that a holder that died is no obstacle.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import BucketNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from memstream.events.errors import Unavailable
from memstream.events.ids import new_id
from memstream.events.tasks import end

_BUCKET = "memstream-leases"
_TTL_SECONDS = 15.0


class Lease:
    """One named lease."""

    def __init__(self, nc: Client, name: str, *, replicas: int = 1) -> None:
        self._nc = nc
        self._name = name
        self._replicas = replicas
        self._mine = new_id().encode()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold the lease; raises Unavailable at once while somebody else does."""
        bucket = await self._bucket()
        try:
            revision = await bucket.create(self._name, self._mine)
        except KeyWrongLastSequenceError as error:
            raise Unavailable(
                f"another process holds the lease {self._name!r}: wait for its end, then repeat"
            ) from error
        renewing = asyncio.create_task(self._renew(bucket, revision), name=f"lease {self._name}")
        try:
            yield
        finally:
            await end(renewing)
            # It runs out by itself.
            with contextlib.suppress(NatsError):
                await bucket.delete(self._name)

    async def _renew(self, bucket: KeyValue, revision: int) -> None:
        while True:
            await asyncio.sleep(_TTL_SECONDS / 3)
            # Tried twice more before it runs out; whoever takes it then is kept apart by the log's position.
            with contextlib.suppress(NatsError, TimeoutError):
                revision = await bucket.update(self._name, self._mine, last=revision)

    async def _bucket(self) -> KeyValue:
        stream = self._nc.jetstream()
        try:
            return await stream.key_value(_BUCKET)
        except BucketNotFoundError:
            return await stream.create_key_value(bucket=_BUCKET, ttl=_TTL_SECONDS, replicas=self._replicas)
