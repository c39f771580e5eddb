"""The stream that holds the log: created by one explicit step, refused when it could drop history."""

import logging
from datetime import datetime

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from .errors import LogIntegrityError, LogUnavailable
from .ids import new_id
from .payloads import Frozen
from .subjects import ROOT

STREAM = "memstream"
DUPLICATE_WINDOW_SECONDS = 120
_LOG_ID = "memstream.log.id"

logger = logging.getLogger("memstream.events")


class LogState(Frozen):
    """The log as the server sees it: its identity, its end, its size in messages and bytes."""

    log_id: str
    last_position: int
    messages: int
    bytes: int
    created: datetime | None = None


async def ensure_stream(js: JetStreamContext, *, replicas: int = 1) -> LogState:
    """Create the stream if it is missing, and check the one that is there.

    Raises LogIntegrityError when its configuration could drop history or cannot hold atomic batches.
    """
    try:
        info = await js.stream_info(STREAM)
    except NotFoundError:
        info = await _create(js, replicas)
    except (NatsError, TimeoutError) as error:
        raise LogUnavailable(f"JetStream does not answer ({error!r}); is the server started with -js?") from error
    _refuse_risks(info)
    return state_of(info)


def _refuse_risks(info: StreamInfo) -> None:
    if problems := risks(info.config):
        raise LogIntegrityError(
            f"stream {STREAM!r} is configured so that it would lose history: {'; '.join(problems)}. "
            f"Correct it with 'nats stream edit {STREAM}' and start again, or point memstream at another server"
        )


async def checked_state(js: JetStreamContext, known: LogState) -> LogState:
    """Return the present state, compared with an earlier one.

    Raises LogIntegrityError when the log is another one, lost its end, or would lose history by its configuration.
    """
    try:
        info = await js.stream_info(STREAM)
    except NotFoundError as error:
        raise LogIntegrityError(f"stream {STREAM!r} is gone from the server; restore it from a backup") from error
    except (NatsError, APIError, TimeoutError) as error:
        raise LogUnavailable(f"the log does not answer: {error!r}; is the server up?") from error
    state = state_of(info)
    if state.log_id != known.log_id or state.created != known.created:
        raise LogIntegrityError(
            f"the server's log was replaced: it is {state.log_id} now, created {state.created}, and was {known.log_id}. Bring the old one back, "
            "or start again with an empty data directory to accept the new one"
        )
    if state.last_position < known.last_position:
        raise LogIntegrityError(
            f"the log lost its end: it ends at {state.last_position} and had reached {known.last_position}. "
            "Restore it from a backup, or start again with an empty projection to accept the loss"
        )
    _refuse_risks(info)
    return state


async def _create(js: JetStreamContext, replicas: int) -> StreamInfo:
    try:
        return await js.add_stream(_configuration(replicas))
    except APIError:
        # Another process created it in the same moment: theirs is the log.
        return await js.stream_info(STREAM)


async def stream_state(js: JetStreamContext) -> LogState:
    """Return the present state of the stream; raise LogUnavailable when the server does not answer."""
    try:
        return state_of(await js.stream_info(STREAM))
    except NotFoundError as error:
        raise LogIntegrityError(f"stream {STREAM!r} is gone from the server; restore it from a backup") from error
    except (NatsError, APIError, TimeoutError) as error:
        raise LogUnavailable(f"the log does not answer: {error!r}; is the server up?") from error


def risks(config: StreamConfig) -> list[str]:
    """Name every setting by which the server could drop, hide or reorder events."""
    limits = {
        "max_msgs": config.max_msgs,
        "max_bytes": config.max_bytes,
        "max_age": config.max_age,
        "max_msgs_per_subject": config.max_msgs_per_subject,
    }
    found = [f"{name}={value}" for name, value in limits.items() if value and value > 0]
    if config.retention not in (None, RetentionPolicy.LIMITS):
        found.append(f"retention={config.retention}")
    if not config.allow_atomic:
        found.append("allow_atomic=false (needs nats-server 2.12 or newer)")
    if config.storage == StorageType.MEMORY:
        found.append("storage=memory")
    return found


def state_of(info: StreamInfo) -> LogState:
    """Read a stream's description as the state of the log."""
    return LogState(
        log_id=(info.config.metadata or {}).get(_LOG_ID, "unmarked"),
        last_position=info.state.last_seq,
        messages=info.state.messages,
        bytes=info.state.bytes,
        created=info.created,
    )


def _configuration(replicas: int) -> StreamConfig:
    return StreamConfig(
        name=STREAM,
        description="memstream: the event log; never limit it",
        subjects=[f"{ROOT}.>"],
        storage=StorageType.FILE,
        num_replicas=replicas,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        allow_atomic=True,
        allow_direct=True,
        metadata={_LOG_ID: new_id()},
    )
