"""Questions over NATS: the gateway and the workers ask whichever memory process is free."""

import json
import zlib
from typing import Any, cast

from faststream.nats import NatsBroker, NatsMessage, NatsResponse
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import ValidationError

from memstream.events.errors import InvalidInput, MemstreamError, Unavailable

from .faults import Fault
from .reads import READS, GetOutcome, Port, Read, ReplyT, Settle

_SUBJECT = "memstream-ask"
_QUEUE = "memory"
_TIMEOUT_SECONDS = 30.0
# Waiting questions hold a worker each.
_CONCURRENT = 256
_FAULT_HEADER = "memstream-fault"


def serve(broker: NatsBroker, port: Port) -> None:
    """Answer questions that arrive on NATS from ``port``; processes of one queue share them."""

    async def answer(message: NatsMessage) -> NatsResponse:
        try:
            return NatsResponse(await _answer(port, message))
        except MemstreamError as error:
            return NatsResponse(b"", headers={_FAULT_HEADER: json.dumps(Fault.of(error).model_dump())})

    broker.subscriber(
        f"{_SUBJECT}.*",
        queue=_QUEUE,
        max_workers=_CONCURRENT,
        decoder=_raw,
        title="memory",
        description="Questions about memory",
    )(answer)


class RemotePort:
    """Asks a memory process behind NATS."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def ask(self, request: Read[ReplyT]) -> ReplyT:
        """Send the question and wait for the answer; raises what the memory process raised."""
        name = type(request).__name__
        patience = request.timeout if isinstance(request, GetOutcome | Settle) else 0.0
        try:
            reply = await self._nc.request(
                f"{_SUBJECT}.{name}", request.model_dump_json().encode(), timeout=_TIMEOUT_SECONDS + patience
            )
        except NoRespondersError as error:
            raise Unavailable("no memory process is running: start one with 'memstream up memory'") from error
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"the memory process does not answer {name}: {error!r}; try again") from error
        if fault := (reply.headers or {}).get(_FAULT_HEADER):
            raise Fault.model_validate_json(fault).error()
        return cast("ReplyT", type(request).reply.validate_json(zlib.decompress(reply.data)))


async def _answer(port: Port, message: NatsMessage) -> bytes:
    name = message.raw_message.subject.rpartition(".")[2]
    kind: type[Read[Any]] | None = READS.get(name)
    if kind is None:
        raise InvalidInput(f"memory cannot answer {name!r}")
    try:
        request = kind.model_validate_json(message.body)
    except ValidationError as error:
        raise InvalidInput(f"{name}: {error.errors(include_url=False)[0]['msg']}") from error
    answer = await port.ask(request)
    return zlib.compress(kind.reply.dump_json(answer), 1)


async def _raw(message: NatsMessage) -> bytes:
    return bytes(message.body)
