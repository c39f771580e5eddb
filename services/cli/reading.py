"""Commands that look: at the layers, the files, where things come from, the events, the state of the service."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from memstream.events.errors import InvalidInput

from . import show
from .session import (
    DATA,
    AsOfOption,
    DataOption,
    JsonOption,
    TenantOption,
    UrlOption,
    UserOption,
    Where,
    errors_end,
    moment,
    out,
)

app = typer.Typer()


@app.command()
def files(
    user: UserOption,
    category: Annotated[str | None, typer.Argument(help="Print this category's file (name or id).")] = None,
    export: Annotated[Path | None, typer.Option(help="Write all files into this directory.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the files cover the newest items.")] = True,
    as_of: AsOfOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the category files, print one, or export them all.

    Examples: `memstream files -u ana` · `memstream files habits -u ana` · `memstream files -u ana --export notes/` ·
    `memstream files habits -u ana --as-of 1200`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json), where.open() as memory:
        past = moment(as_of)
        if wait and past is None:
            memory.settle()
        if category is not None:
            file = memory.file(category, as_of=past)
            where.print(file) if as_json else typer.echo(file.text)
            return
        found = memory.files(as_of=past)
        if export is not None:
            for file in found:
                path = export / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file.text)
        where.print(found) if as_json else show.show_files(out, found)


@app.command()
def items(
    user: UserOption,
    item_id: Annotated[str | None, typer.Argument(help="Show this item alone.")] = None,
    resource: Annotated[str | None, typer.Option(help="Only the items of this resource.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 50,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_of: AsOfOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the items, oldest first.

    Examples: `memstream items -u ana --limit 20` · `memstream items -u ana --as-of 2026-11-01T12:00Z`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json), where.open() as memory:
        past = moment(as_of)
        found = (
            [memory.item(item_id, as_of=past)]
            if item_id
            else memory.items(resource_id=resource, limit=limit, offset=offset, as_of=past)
        )
        where.print(found) if as_json else show.show_items(out, found)


@app.command()
def resources(
    user: UserOption,
    resource_id: Annotated[str | None, typer.Argument(help="Show this resource alone.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the resource's original bytes to this file.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 50,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_of: AsOfOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the resources, or save the original of one.

    Examples: `memstream resources -u ana` · `memstream resources 2a75… -u ana --save chat.json`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json), where.open() as memory:
        if save is not None:
            if resource_id is None:
                raise InvalidInput("--save needs the id of the resource to save")
            with tempfile.TemporaryFile() as target:
                # Only a resource that was read whole may replace the user's file.
                memory.content(resource_id, target)
                target.seek(0)
                with save.open("wb") as kept:
                    shutil.copyfileobj(target, kept)
        past = moment(as_of)
        found = (
            [memory.resource(resource_id, as_of=past)]
            if resource_id
            else memory.resources(limit=limit, offset=offset, as_of=past)
        )
        where.print(found) if as_json else show.show_resources(out, found)


@app.command()
def lineage(
    identifier: Annotated[str, typer.Argument(help="Any category, item, segment or resource id.")],
    user: UserOption,
    as_of: AsOfOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trace an id to all other layers and to the events behind it.

    Example: `memstream lineage 81fa… -u ana`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json), where.open() as memory:
        found = memory.lineage(identifier, as_of=moment(as_of))
        if as_json:
            where.print(found)
            return
        out.print(f"[bold]{found.layer}[/] {found.id}")
        for layer in ("categories", "items", "segments", "resources"):
            ids = getattr(found, layer)
            out.print(f"  {len(ids):>5} {layer}: {', '.join(ids[:4])}{' …' if len(ids) > 4 else ''}")  # noqa: PLR2004 - what fits on a line
        for event in found.events:
            out.print(f"  {event.position:>8}  {event.recorded:%Y-%m-%d %H:%M:%S}  {event.type:<20} {event.id}")


@app.command()
def diff(
    user: UserOption,
    since: Annotated[str, typer.Option("--from", help="A log position or a time.")],
    until: Annotated[str | None, typer.Option("--to", help="A log position or a time; default: now.")] = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what changed in memory between two moments, in words.

    Examples: `memstream diff -u ana --from 1200` · `memstream diff -u ana --from 2026-11-01T12:00Z --to 1300`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json), where.open() as memory:
        begin = moment(since)
        assert begin is not None
        found = memory.diff(begin, moment(until))
        if as_json:
            where.print(found)
            return
        out.print(f"positions {found.since} to {found.until}", style="dim")
        for sentence in found.words:
            out.print(sentence, markup=False)


@app.command()
def events(
    user: UserOption,
    after: Annotated[int, typer.Option(help="Only events behind this log position.", min=0)] = 0,
    kind: Annotated[list[str] | None, typer.Option("--type", help="Only this event type; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 1_000,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on live until Ctrl-C.")] = False,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a user's events, one a line (with --json: NDJSON).

    Examples: `memstream events -u ana --type feedback.given` · `memstream events -u ana --follow --json`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json), where.open() as memory:
        feed = (
            memory.follow(after=after, types=kind)
            if follow
            else iter(memory.events(after=after, types=kind, limit=limit))
        )
        for event in feed:
            typer.echo(event.model_dump_json() if as_json else show.event_line(event))


@app.command()
def status(
    user: UserOption = "default",
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the log, the projection and a user's events by type.

    Example: `memstream status -u ana`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json), where.open() as memory:
        found = memory.status()
        where.print(found) if as_json else show.show_status(out, found)
