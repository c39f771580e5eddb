"""An operation's answer as lines: progress while it runs, then its result or its fault. Both wires use them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

from pydantic import ValidationError

from memstream.events.errors import InvalidInput, MemstreamError, Unavailable
from memstream.events.tasks import end

from .evolving_requests import EVOLVING
from .faults import Fault
from .operations import OPERATIONS, Line, Operation, Operator, Progress, ResultT, Told

# Often enough for a progress bar, and to keep what is between the two from closing an idle connection.
_BEAT_SECONDS = 2.0


def parsed(name: str, body: bytes) -> Operation[Any]:
    """Read a request; raises InvalidInput for an unknown operation or a field that is wrong."""
    known = OPERATIONS | EVOLVING
    kind = known.get(name)
    if kind is None:
        raise InvalidInput(f"no operation {name!r}; known are {', '.join(sorted(known))}")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"])
        raise InvalidInput(f"{place or name}: {detail['msg']}") from error


async def lines(operator: Operator, operation: Operation[Any]) -> AsyncGenerator[bytes, None]:
    """Carry an operation out and yield its lines; closing the generator cancels it."""
    told: asyncio.Queue[Progress] = asyncio.Queue()

    async def run() -> Any:
        return await operator.operate(operation, told.put_nowait)

    running = asyncio.create_task(run(), name=type(operation).__name__)
    try:
        while not running.done():
            waiting = asyncio.ensure_future(told.get())
            await asyncio.wait({running, waiting}, timeout=_BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                yield _line("progress", waiting.result().model_dump(mode="json"))
            else:
                waiting.cancel()
                yield b"\n"
        while not told.empty():
            yield _line("progress", told.get_nowait().model_dump(mode="json"))
        yield _ended(operation, running)
    finally:
        await end(running)


async def outcome(operation: Operation[ResultT], answer: AsyncIterator[str | bytes], told: Told) -> ResultT:
    """Read an operation's lines; raises what it raised, Unavailable when the lines stop early."""
    async for text in answer:
        if not text.strip():
            continue
        line = Line.model_validate_json(text)
        match line.kind:
            case "progress":
                told(Progress.model_validate(line.value))
            case "result":
                return cast("ResultT", type(operation).result.validate_python(line.value))
            case "fault":
                raise Fault.model_validate(line.value).error()
    raise Unavailable("the service went away in the middle of it: repeat the command, it goes on where it stopped")


def _ended(operation: Operation[Any], running: "asyncio.Task[Any]") -> bytes:
    error = running.exception()
    if error is None:
        return _line("result", type(operation).result.dump_python(running.result(), mode="json"))
    if isinstance(error, MemstreamError):
        return _line("fault", Fault.of(error).model_dump())
    raise error


def _line(kind: Any, value: Any) -> bytes:
    return Line(kind=kind, value=value).model_dump_json().encode() + b"\n"
