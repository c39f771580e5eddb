"""Commands of operators: digest and verify, replay and generations, parked events."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from memstream.events.errors import InvalidInput
from memstream.services import operations as o
from memstream.services.operations import Operation, Told

from . import show_operations as show
from .session import (
    DATA,
    AsOfOption,
    DataOption,
    JsonOption,
    TenantOption,
    UrlOption,
    Where,
    err,
    errors_end,
    moment,
    out,
)

ResultT = TypeVar("ResultT")
SomeUserOption = Annotated[
    str | None, typer.Option("--user", "-u", help="Only this user's memory (default: everybody's).")
]

app = typer.Typer()
generations = typer.Typer(no_args_is_help=True, help="The projections beside each other: list, roll back, drop.")
parked = typer.Typer(no_args_is_help=True, help="Events that could not be applied: list, show, retry, drop.")
app.add_typer(generations, name="generations")
app.add_typer(parked, name="parked")


def carried_out(where: Where, operation: Operation[ResultT]) -> ResultT:
    """Carry an operation out with a progress bar; Ctrl-C stops it where it can go on."""
    with where.service() as memory, _bar(hidden=where.as_json) as told:
        return memory.operate(operation, told)


@contextmanager
def _bar(*, hidden: bool) -> Iterator[Told]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rates]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=hidden or not err.is_terminal) as progress:
        task = progress.add_task("working", total=None, rates="")

        def told(now: o.Progress) -> None:
            seconds = max(now.seconds, 1e-3)
            rates = f"{now.events / seconds:,.0f} events/s, {now.items / seconds:,.0f} items/s" if now.events else ""
            progress.update(task, description=now.phase, completed=now.done, total=now.total, rates=rates)

        yield told


@app.command()
def digest(
    user: SomeUserOption = None,
    as_of: AsOfOption = None,
    projection: Annotated[
        Path | None, typer.Option(help="A directory that 'replay --into' made, instead of what is served.")
    ] = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the canonical digest of memory: the same for two memories that say the same.

    Examples: `memstream digest` · `memstream digest -u ana --as-of 1200 --json`
    """
    where = Where(user or "", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        directory = None if projection is None else str(projection.expanduser().resolve())
        operation = o.TakeDigest(tenant=tenant, user=user, as_of=moment(as_of), directory=directory)
        found = carried_out(where, operation)
        where.print(found) if as_json else show.show_digest(out, found)


@app.command()
def verify(
    user: SomeUserOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild memory from the log in a scratch directory and compare; exit code 1 when they differ.

    Example: `memstream verify -u ana`
    """
    where = Where(user or "", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.Verify(tenant=tenant, user=user))
        where.print(found) if as_json else show.show_verified(out, found)
        if not found.matches:
            raise typer.Exit(1)


@app.command()
def replay(
    user: SomeUserOption = None,
    until: Annotated[str | None, typer.Option(help="Stop at a log position or a time; needs --into.")] = None,
    into: Annotated[Path | None, typer.Option(help="Build into this directory; what is served stays.")] = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild memory from the log into a new generation, then switch over. No model is called.

    Retrievals go on being served meanwhile. Ctrl-C or a crash loses nothing: the next replay goes on from there.

    Examples: `memstream replay` · `memstream replay --into /tmp/then --until 2026-11-01T12:00Z -u ana`
    """
    where = Where(user or "", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        directory = None if into is None else str(into.expanduser().resolve())
        operation = o.Replay(tenant=tenant, user=user, until=moment(until), into=directory)
        found = carried_out(where, operation)
        where.print(found) if as_json else show.show_replayed(out, found)


@app.command()
def reembed(
    model: Annotated[str, typer.Option(help="wordllama, wordllama-128, wordllama-64, or endpoint:<model>.")],
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Then remove the old space's vectors.")] = False,
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Embed everything with another model beside the old one, then switch; retrieval goes on meanwhile.

    Example: `memstream reembed --model wordllama-128 --drop-old`
    """
    where = Where("", "default", data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.Reembed(model=model, drop_old=drop_old))
        where.print(found) if as_json else show.show_reembedded(out, found)


@app.command()
def reextract(
    extractor: Annotated[
        str | None, typer.Option(help="rules, sentences (every sentence a statement of its own), or model.")
    ] = None,
    prompt_version: Annotated[str | None, typer.Option(help="A language model's prompt, such as extract-1.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would change.")] = False,
    user: SomeUserOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go over history with another extractor; what it no longer states is superseded, and stays in the past.

    Examples: `memstream reextract --extractor sentences --dry-run` · `memstream reextract --extractor rules -u ana` ·
    `memstream reextract --prompt-version extract-1 --dry-run` (how many tokens the model would read)
    """
    where = Where(user or "", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        if extractor is None and prompt_version is None:
            raise InvalidInput("name an --extractor, or the --prompt-version of a language model")
        operation = o.Reextract(
            tenant=tenant, user=user, extractor=extractor or "model", prompt_version=prompt_version, dry_run=dry_run
        )
        found = carried_out(where, operation)
        where.print(found) if as_json else show.show_reextracted(out, found)


@generations.command("list")
def list_generations(
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the generations, oldest first.

    Example: `memstream generations list`
    """
    where = Where("", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.ListGenerations())
        where.print(found) if as_json else show.show_generations(out, found)


@generations.command()
def rollback(
    name: Annotated[str | None, typer.Argument(help="Which generation; default: the latest before.")] = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve an earlier generation again, once it has caught up with the log.

    Example: `memstream generations rollback`
    """
    where = Where("", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.Rollback(name=name))
        where.print(found) if as_json else out.print(f"serving {found.name} at position {found.position}")


@generations.command("drop")
def drop_generation(
    name: Annotated[str, typer.Argument(help="The generation to delete; not the serving one.")],
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a generation's files.

    Example: `memstream generations drop g000001`
    """
    where = Where("", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        left = carried_out(where, o.DropGeneration(name=name))
        where.print(left) if as_json else show.show_generations(out, left)


@parked.command("list")
def list_parked(
    user: SomeUserOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the parked events, with their reasons and what waits behind them.

    Example: `memstream parked list`
    """
    where = Where(user or "", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.ListParkedEvents(tenant=tenant, user=user))
        where.print(found) if as_json else show.show_parked(out, found)


@parked.command("show")
def show_one(
    position: Annotated[int, typer.Argument(min=1, help="The event's log position.")],
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print one parked event with what the log holds of it.

    Example: `memstream parked show 1204`
    """
    where = Where("", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.ShowParked(position=position))
        where.print(found) if as_json else show.show_parked_content(out, found)


@parked.command()
def retry(
    position: Annotated[int | None, typer.Argument(min=1, help="The event's log position.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Retry every parked event.")] = False,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try parked events again, and those that wait behind them; exit code 1 when one stays parked.

    Examples: `memstream parked retry 1204` · `memstream parked retry --all`
    """
    where = Where("", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        if (position is None) != everything:
            raise typer.BadParameter("give a position, or --all")
        found = carried_out(where, o.RetryParked(position=position))
        where.print(found) if as_json else show.show_unparked(out, found)
        wanted = [one.position for one in found.still_parked if position is None or one.position == position]
        if wanted:
            raise typer.Exit(1)


@parked.command("drop")
def drop_parked(
    position: Annotated[int, typer.Argument(min=1, help="The event's log position.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the log.")] = "dropped by an operator",
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a parked event up: rebuilds leave it out, and what waits behind it is tried again.

    Example: `memstream parked drop 1204 --reason "half written by a foreign client"`
    """
    where = Where("", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.DropParked(position=position, reason=reason))
        where.print(found) if as_json else show.show_unparked(out, found)
