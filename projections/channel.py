"""A connection to a process of our own: values as pickles, their large buffers beside them.

A multiprocessing connection copies a message three times on its way in, holding the interpreter; with a rebuild's
tables, hundreds of megabytes, that was a tenth of the time. Here a table's buffers are received where they stay
(pickle protocol 5, PEP 574).
"""

import pickle
import socket
import struct
from typing import Any, Self

_COUNT = struct.Struct("<I")


class Channel:
    """One end of a socket pair. Only for a process that was started by us: a pickle runs what it names."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Return two ends that are connected."""
        ours, theirs = socket.socketpair()
        return cls(ours), cls(theirs)

    @classmethod
    def inherited(cls, descriptor: int) -> Self:
        """Return the end that the process which started this one has left open for it."""
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """Return the descriptor of this end."""
        return self._socket.fileno()

    def send(self, value: object) -> None:
        """Send a value; raise OSError when the other end is gone."""
        beside: list[pickle.PickleBuffer] = []
        body = pickle.dumps(value, 5, buffer_callback=beside.append)
        parts = [memoryview(body), *(one.raw() for one in beside)]
        lengths = struct.pack(f"<{len(parts)}Q", *(part.nbytes for part in parts))
        self._socket.sendall(_COUNT.pack(len(parts)) + lengths)
        for part in parts:
            self._socket.sendall(part)

    def receive(self) -> Any:
        """Wait for a value; raise EOFError when the other end is gone."""
        (count,) = _COUNT.unpack(self._take(_COUNT.size))
        lengths = struct.unpack(f"<{count}Q", self._take(8 * count))
        body, *beside = [self._take(length) for length in lengths]
        return pickle.loads(body, buffers=beside)  # noqa: S301 - from a process of our own

    def _take(self, length: int) -> bytearray:
        taken = bytearray(length)
        rest = memoryview(taken)
        while rest:
            received = self._socket.recv_into(rest, len(rest), socket.MSG_WAITALL)
            if not received:
                raise EOFError("the other end was closed")
            rest = rest[received:]
        return taken

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
