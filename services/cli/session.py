"""What every command shares: whose memory, where it is, how to print, and how errors end."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console

from memstream.events import errors as e
from memstream.services.announcement import running_service
from memstream.services.faults import Fault
from memstream.services.settings import Settings
from memstream.services.synchronous import Memory, User

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

EXIT_CODES = "Exit codes: 0 done · 2 invalid input · 3 not found · 4 unavailable, try again · 5 processing failed · 1 anything else."
_EXITS: list[tuple[type[e.MemstreamError], int]] = [
    (e.InvalidInput, 2),
    (e.NotFound, 3),
    (e.Unavailable, 4),
    (e.ProcessingFailed, 5),
    (e.MemstreamError, 1),
]

UserOption = Annotated[
    str, typer.Option("--user", "-u", help="Whose memory.", envvar="MEMSTREAM_USER", show_default=False)
]
TenantOption = Annotated[str, typer.Option("--tenant", help="Which tenant.", envvar="MEMSTREAM_TENANT")]
DataOption = Annotated[
    Path,
    typer.Option("--data-dir", "-d", help="Where the memory is on this machine.", envvar="MEMSTREAM_DATA_DIR"),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="A memstream service to use instead of a data directory.", envvar="MEMSTREAM_URL"),
]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", help="Answer as of a past moment: a log position, or a time such as 2026-11-01T12:00Z."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

DATA = Path("data")


@dataclass(frozen=True)
class Where:
    """Where a command works, and how it prints."""

    user: str
    tenant: str
    data_dir: Path
    url: str | None
    as_json: bool = False

    @contextmanager
    def service(self) -> Iterator[Memory]:
        """Open the service itself, for operations."""
        with opened_memory(self.data_dir, self.url, self.tenant) as memory, errors_end(self.as_json):
            yield memory

    @contextmanager
    def open(self) -> Iterator[User]:
        """Open the user's memory: the service at ``--url``, the one running on the data directory, or one in process."""
        with opened_memory(self.data_dir, self.url, self.tenant) as memory, errors_end(self.as_json):
            yield memory.user(self.user)

    def print(self, value: Any) -> None:
        """Print a value as JSON."""
        typer.echo(to_json(value))


@contextmanager
def opened_memory(data_dir: Path, url: str | None, tenant: str) -> Iterator[Memory]:
    """Open a memory wherever it is."""
    running = None if url else running_service(data_dir)
    address = url or (running.url if running else None)
    if address:
        memory = Memory.connect(address, tenant=tenant)
    else:
        settings = Settings()
        memory = Memory.open(data_dir, nats_url=settings.nats_url, tenant=tenant)
    with memory:
        yield memory


@contextmanager
def errors_end(as_json: bool = False) -> Iterator[None]:
    """End the command with one line and an exit code for every error that is not a bug."""
    try:
        yield
    except e.MemstreamError as error:
        _say(error, as_json)
        raise typer.Exit(next(code for kind, code in _EXITS if isinstance(error, kind))) from error
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        _say(e.InvalidInput(f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"), as_json)
        raise typer.Exit(2) from error
    except OSError as error:
        if error.filename is None:
            raise
        _say(e.InvalidInput(f"{str(error.filename)!r}: {error.strerror}"), as_json)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        err.print("stopped")
        raise typer.Exit(130) from error


def _say(error: e.MemstreamError, as_json: bool) -> None:
    if as_json:
        sys.stderr.write(json.dumps({"error": Fault.of(error).model_dump()}, ensure_ascii=False) + "\n")
    else:
        err.print(f"[bold red]error:[/] {_escaped(str(error))}")


def moment(text: str | None) -> int | datetime | None:
    """Read ``--as-of``: a log position, or an ISO time (without a zone: UTC); raise InvalidInput."""
    if text is None or text.isdecimal():
        return None if text is None else int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise e.InvalidInput(f"{text!r} is neither a log position nor a time such as 2026-11-01T12:00Z") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def to_json(value: Any) -> str:
    """Write models, and lists of them, as JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump_json(indent=2)
    if isinstance(value, list):
        return json.dumps(
            [one.model_dump(mode="json") if isinstance(one, BaseModel) else one for one in value],
            indent=2,
            ensure_ascii=False,
        )
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


def quiet_logs(level: str = "WARNING") -> None:
    """Send the libraries' logs to standard error, at a level."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("nats").setLevel(logging.ERROR)
