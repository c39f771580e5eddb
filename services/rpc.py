"""Questions over NATS: the gateway and the workers ask whichever memory process is free."""

import contextlib
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any, cast

from faststream.nats import NatsBroker, NatsMessage, NatsResponse
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import ValidationError

from memstream.events.errors import InvalidInput, MemstreamError, Unavailable

from .faults import Fault
from .operations import Line, Operation, Operator, ResultT, Told
from .reads import READS, GetOutcome, Port, Read, ReplyT, Settle
from .streaming import lines, outcome, parsed

_SUBJECT = "memstream-ask"
_QUEUE = "memory"
_TIMEOUT_SECONDS = 30.0
# Waiting questions hold a worker each.
_CONCURRENT = 256
_OPERATE = "memstream-operate"
_OPERATING = 8
# An operation says at least that it is alive more often than this.
_SILENCE_SECONDS = 60.0
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


def serve_operations(broker: NatsBroker, nc: Client, operator: Operator) -> None:
    """Carry out operations that arrive on NATS; their lines go to the asker's inbox."""

    async def answer(message: NatsMessage) -> None:
        name = message.raw_message.subject.rpartition(".")[2]
        try:
            operation = parsed(name, message.body)
        except MemstreamError as error:
            line = Line(kind="fault", value=Fault.of(error).model_dump())
            await nc.publish(message.reply_to, line.model_dump_json().encode())
            return
        async with contextlib.aclosing(lines(operator, operation)) as answered:
            async for one in answered:
                await nc.publish(message.reply_to, one)

    broker.subscriber(
        f"{_OPERATE}.*",
        queue=_QUEUE,
        max_workers=_OPERATING,
        decoder=_raw,
        title="operations",
        description="Operations on memory",
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

    async def operate(self, operation: Operation[ResultT], told: Told) -> ResultT:
        """Have a memory process carry an operation out, and follow its lines."""
        name, inbox = type(operation).__name__, self._nc.new_inbox()
        subscription = await self._nc.subscribe(inbox)
        try:
            await self._nc.publish(f"{_OPERATE}.{name}", operation.model_dump_json().encode(), reply=inbox)
            return await outcome(operation, _replies(subscription), told)
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"the memory process does not answer {name}: {error!r}; repeat it") from error
        finally:
            # The inbox goes with the connection.
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()


async def _replies(subscription: Subscription) -> AsyncIterator[bytes]:
    while True:
        message = await subscription.next_msg(timeout=_SILENCE_SECONDS)
        if (message.headers or {}).get("Status") == "503":
            raise Unavailable("no memory process is running: start one with 'memstream up memory'")
        yield message.data


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
