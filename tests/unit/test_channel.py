"""The connection to a process of our own: what is sent is what is received, and an end that is gone is noticed."""

import contextlib
import socket
import threading

import pyarrow as pa
import pytest

from memstream.projections.channel import Channel


def test_tables_larger_than_the_socket_arrive_as_they_were() -> None:
    ours, theirs = Channel.pair()
    table = pa.table({"n": pa.array(range(300_000)), "s": pa.array([None, "ä", ""] * 100_000)})
    sender = threading.Thread(target=ours.send, args=(("apply", {"rows": table}, [b"", b"x" * 100_000]),))
    sender.start()
    name, tables, bodies = theirs.receive()
    sender.join()
    assert (name, bodies) == ("apply", [b"", b"x" * 100_000])
    assert tables["rows"].equals(table)
    tables["rows"].validate(full=True)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("sent", [b"", b"\x02\x00\x00\x00", b"\x01\x00\x00\x00" + b"\x63" + b"\x00" * 7 + b"cut"])
def test_an_end_that_is_gone_is_the_end_whatever_it_left_half_sent(sent: bytes) -> None:
    killed, end = socket.socketpair()
    killed.sendall(sent)
    killed.close()
    with contextlib.closing(Channel(end)) as ours, pytest.raises(EOFError):
        ours.receive()
