"""The socket that a service listens on."""

import asyncio
import socket

import pytest

from memstream.services.serving import listen


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_small_answers_are_sent_at_once(host: str) -> None:
    # Held back until the last one is acknowledged (Nagle's algorithm), an answer in two pieces takes 40 ms.
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    door = listen(host, 0)
    async with await asyncio.start_server(accepted, sock=door):
        _, writer = await asyncio.open_connection(host, door.getsockname()[1])
        assert await told
        writer.close()
        await writer.wait_closed()
