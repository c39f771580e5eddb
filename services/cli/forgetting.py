"""Commands that erase: an item, a resource, a user."""

from typing import Annotated

import typer

from memstream.services import operations as o
from memstream.services.operations import Forgotten, Operation

from . import show_operations as show
from .operating import carried_out
from .session import DATA, DataOption, JsonOption, TenantOption, UrlOption, UserOption, Where, errors_end, out

ReasonOption = Annotated[str, typer.Option(help="Why; kept in the tombstone.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

app = typer.Typer(no_args_is_help=True, help="Erase an item, a resource or a user from every file there is.")


@app.command()
def item(
    item_id: Annotated[str, typer.Argument(help="The item's id.")],
    user: UserOption,
    reason: ReasonOption = "asked for",
    yes: YesOption = False,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase one item, and its words wherever this user's history holds them.

    Example: `memstream forget item 81fa… -u ana`
    """
    operation = o.ForgetItem(tenant=tenant, user=user, item_id=item_id, reason=reason)
    _erase(Where(user, tenant, data_dir, url, as_json), operation, f"item {item_id} of {user}", yes)


@app.command()
def resource(
    resource_id: Annotated[str, typer.Argument(help="The resource's id.")],
    user: UserOption,
    reason: ReasonOption = "asked for",
    yes: YesOption = False,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a resource, and everything that only it says.

    Example: `memstream forget resource 2a75… -u ana`
    """
    operation = o.ForgetResource(tenant=tenant, user=user, resource_id=resource_id, reason=reason)
    _erase(Where(user, tenant, data_dir, url, as_json), operation, f"resource {resource_id} of {user}", yes)


@app.command()
def user(
    user: Annotated[str, typer.Argument(help="Whose whole memory.")],
    reason: ReasonOption = "asked for",
    yes: YesOption = False,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase everything of a user.

    Example: `memstream forget user ana --yes`
    """
    operation = o.ForgetUser(tenant=tenant, user=user, reason=reason)
    _erase(Where(user, tenant, data_dir, url, as_json), operation, f"everything of {user}", yes)


def _erase(where: Where, operation: Operation[Forgotten], what: str, yes: bool) -> None:
    if not yes:
        typer.confirm(f"Erase {what}, for good?", abort=True, err=True)
    with errors_end(where.as_json):
        found = carried_out(where, operation)
        where.print(found) if where.as_json else show.show_forgotten(out, found)
