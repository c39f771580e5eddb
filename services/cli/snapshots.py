"""Commands for snapshots, and for carrying a log to another machine."""

from pathlib import Path
from typing import Annotated

import typer

from memstream.services import operations as o

from . import show_operations as show
from .operating import SomeUserOption, carried_out
from .session import DATA, DataOption, JsonOption, TenantOption, UrlOption, Where, errors_end, out

app = typer.Typer(no_args_is_help=True, help="Copies of the projection; export and import of the whole log.")


@app.command()
def create(
    name: Annotated[str | None, typer.Argument(help="Its name; default: the present time.")] = None,
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a copy of the projection as it is now.

    Example: `memstream snapshot create before-upgrade`
    """
    where = Where("", "default", data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.CreateSnapshot(name=name))
        where.print(found) if as_json else show.show_snapshots(out, [found])


@app.command("list")
def list_snapshots(data_dir: DataOption = DATA, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the snapshots, oldest first.

    Example: `memstream snapshot list`
    """
    where = Where("", "default", data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.ListSnapshots())
        where.print(found) if as_json else show.show_snapshots(out, found)


@app.command()
def restore(
    name: Annotated[str, typer.Argument(help="The snapshot.")],
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a snapshot and everything since; one that does not fit is rebuilt from the log instead.

    Example: `memstream snapshot restore before-upgrade`
    """
    where = Where("", "default", data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.RestoreSnapshot(name=name))
        where.print(found) if as_json else show.show_restored(out, found)


@app.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(help="A new file, on the machine of the service.")],
    user: SomeUserOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the whole log, or one user's, with the resources into one file (NDJSON in a tar).

    Examples: `memstream snapshot export memory.tar` · `memstream snapshot export ana.tar -u ana`
    """
    where = Where(user or "", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.Export(tenant=tenant, user=user, path=str(file.expanduser().resolve())))
        where.print(found) if as_json else show.show_exported(out, found)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="What export wrote, on the machine of the service.")],
    only_tenant: Annotated[str | None, typer.Option(help="Refuse a file that is not of this tenant alone.")] = None,
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Append what an export holds; what is there already stays as it is, so it can be repeated.

    Example: `memstream snapshot import memory.tar`
    """
    where = Where("", "default", data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.Import(path=str(file.expanduser().resolve()), only_tenant=only_tenant))
        where.print(found) if as_json else show.show_imported(out, found)
