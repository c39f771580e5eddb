"""The object store: resource bytes, addressed by their SHA-256 within the user that owns them.

Streamed in chunks both ways, never whole in memory. Two users with the same bytes have an object each, so that
erasing one never touches the other and nobody learns what others hold.
"""

import asyncio
import base64
import contextlib
import hashlib
import io
from collections import OrderedDict
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple, cast

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ObjectInfo, ObjectStoreConfig, StorageType
from nats.js.errors import APIError, BucketNotFoundError, NotFoundError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from .errors import LogIntegrityError, LogUnavailable, NotFound, StorageFull, Unavailable
from .overwriting import erase_messages
from .subjects import Scope

BUCKET = "memstream-resources"
_CHUNK = 128 * 1024
# Reading an object back takes a consumer and three round trips; a burst of small ones is worth keeping.
_RECENT_BYTES = 64 * 1024
_RECENT_OBJECTS = 1_024
_ALL_RECENT_BYTES = 8 * 1024 * 1024


class StoredObject(NamedTuple):
    """What was stored: the SHA-256 in hex, the size in bytes, and whether the bytes were there before."""

    digest: str
    size: int
    known: bool = False


def digest_of(content: BinaryIO) -> StoredObject:
    """Hash a seekable file from its start, in chunks, and rewind it."""
    content.seek(0)
    hasher, size = hashlib.sha256(), 0
    while chunk := content.read(_CHUNK):
        hasher.update(chunk)
        size += len(chunk)
    content.seek(0)
    return StoredObject(hasher.hexdigest(), size)


class ResourceStore:
    """The bucket of resource bytes."""

    def __init__(self, nc: Client, *, replicas: int = 1) -> None:
        self._nc = nc
        self._replicas = replicas
        self._bucket: ObjectStore | None = None
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._recent_bytes = 0

    async def put(self, scope: Scope, content: BinaryIO) -> StoredObject:
        """Store the bytes of a seekable binary file; bytes that are there already are not written again.

        Raises StorageFull or LogUnavailable; then nothing is left behind.
        """
        done = await asyncio.to_thread(digest_of, content)
        name = _name(scope, done.digest)
        try:
            bucket = await self._open()
            if await _present(bucket, name):
                return done._replace(known=True)
            await bucket.put(name, cast("io.BufferedIOBase", content))
        except APIError as error:
            raise _refusal(done.size, error) from error
        except (NatsError, TimeoutError, OSError) as error:
            raise LogUnavailable(f"the object store does not answer: {error!r}; repeat the call") from error
        self._remember(name, content, done.size)
        return done

    async def get(self, scope: Scope, digest: str, into: BinaryIO) -> None:
        """Write the bytes with this digest into a binary file, chunk by chunk.

        Raises NotFound when this user has no such bytes, LogIntegrityError when they don't match the digest.
        """
        name = _name(scope, digest)
        if (recent := self._recent.get(name)) is not None:
            into.write(recent)
            into.seek(0)
            return
        try:
            bucket = await self._open()
            await bucket.get(name, writeinto=cast("io.BufferedIOBase", into))
        except (ObjectNotFoundError, NotFoundError) as error:
            raise NotFound(f"no resource bytes with digest {digest!r} in this scope") from error
        except (NatsError, APIError, TimeoutError) as error:
            raise LogUnavailable(f"the object store does not answer: {error!r}") from error
        into.flush()
        into.seek(0)
        found = await asyncio.to_thread(digest_of, into)
        if found.digest != digest:
            raise LogIntegrityError(f"stored bytes of {digest} hash to {found.digest}: the object store is damaged")

    async def erase(self, scope: Scope, digests: Iterable[str] | None = None) -> None:
        """Overwrite and delete objects of a user: those with some digests, or (None) all of them."""
        bucket = await self._open()
        prefix = f"{scope.key}/"
        wanted = None if digests is None else {_name(scope, digest) for digest in digests}
        for name in [name for name in self._recent if name.startswith(prefix)]:
            self._forget(name)
        sequences: list[int] = []
        for info in await _listed(bucket):
            if info.name.startswith(prefix) and (wanted is None or info.name in wanted):
                sequences += await self._sequences(info)
        await erase_messages(self._nc, f"OBJ_{BUCKET}", sequences)

    async def _sequences(self, info: ObjectInfo) -> list[int]:
        """Return the stream sequences of an object's chunks and of its description, the description last."""
        encoded = base64.urlsafe_b64encode(info.name.encode()).decode()
        found: list[int] = []
        for subject in (f"$O.{BUCKET}.C.{info.nuid}", f"$O.{BUCKET}.M.{encoded}"):
            js = self._nc.jetstream(timeout=10)
            after = 1
            while True:
                try:
                    message = await js.get_msg(f"OBJ_{BUCKET}", after, subject, next=True)
                except NotFoundError:
                    break
                found.append(int(message.seq or 0))
                after = found[-1] + 1
        return found

    def _remember(self, name: str, content: BinaryIO, size: int) -> None:
        """Keep small objects for the worker that will ask for them in a moment; their name is their digest."""
        if size <= _RECENT_BYTES:
            content.seek(0)
            if name in self._recent:
                self._forget(name)
            self._recent[name] = content.read()
            self._recent_bytes += size
            while len(self._recent) > _RECENT_OBJECTS or self._recent_bytes > _ALL_RECENT_BYTES:
                self._forget(next(iter(self._recent)))

    def _forget(self, name: str) -> None:
        self._recent_bytes -= len(self._recent.pop(name))

    async def _open(self) -> ObjectStore:
        if self._bucket is None:
            js = self._nc.jetstream(timeout=10)
            try:
                self._bucket = await js.object_store(BUCKET)
            except (BucketNotFoundError, NotFoundError):
                config = ObjectStoreConfig(bucket=BUCKET, storage=StorageType.FILE, replicas=self._replicas)
                with contextlib.suppress(APIError):
                    # Another process may create it in the same moment.
                    await js.create_object_store(BUCKET, config=config)
                self._bucket = await js.object_store(BUCKET)
        return self._bucket


def _refusal(size: int, error: APIError) -> Unavailable:
    reason = str(error.description)
    if "no space" in reason or "insufficient" in reason or "maximum bytes" in reason:
        return StorageFull(f"no room for {size:,} bytes in the object store ({reason}): {StorageFull.way_out}")
    return LogUnavailable(f"the object store refused {size:,} bytes ({reason}); repeat the call")


async def _listed(bucket: ObjectStore) -> list[ObjectInfo]:
    try:
        return await bucket.list(ignore_deletes=True)
    except NotFoundError:
        return []


async def _present(bucket: ObjectStore, name: str) -> bool:
    try:
        await bucket.get_info(name)
    except (ObjectNotFoundError, NotFoundError):
        return False
    return True


def _name(scope: Scope, digest: str) -> str:
    return f"{scope.key}/{digest}"
