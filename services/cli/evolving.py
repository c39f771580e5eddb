"""Commands of evolution: try, take, look at, undo and compare steps; nothing is written unless it is asked for."""

from typing import Annotated

import typer

from memstream.services import evolving_requests as r

from . import show_evolving as show
from .operating import carried_out
from .session import DATA, DataOption, JsonOption, TenantOption, UrlOption, UserOption, Where, errors_end, out

PolicyOption = Annotated[
    str | None, typer.Option("--policy", "-p", help="A policy's name (default: the one chosen for this user).")
]
StepArgument = Annotated[str, typer.Argument(help="The step's id, or how it begins.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Reshape categories by how memory is used; each step is tried on recorded retrievals, and can be undone.",
)


@app.command()
def propose(
    user: UserOption,
    policy: PolicyOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what would be tried, and what its trials say; nothing is written.

    Example: `memstream evolve propose -u ana`
    """
    _evolve(Where(user, tenant, data_dir, url, as_json), r.Evolve(tenant=tenant, user=user, policy=policy))


@app.command()
def run(
    user: UserOption,
    apply: Annotated[bool, typer.Option("--apply", help="Take the accepted steps (default: dry run).")] = False,
    policy: PolicyOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try proposals one after another and keep what newer retrievals confirm. A dry run unless --apply is given.

    Examples: `memstream evolve run -u ana` · `memstream evolve run -u ana --apply --json`
    """
    operation = r.Evolve(tenant=tenant, user=user, policy=policy, dry_run=not apply)
    _evolve(Where(user, tenant, data_dir, url, as_json), operation)


@app.command()
def history(
    user: UserOption,
    rejected: Annotated[bool, typer.Option(help="Show also what was tried and rejected.")] = False,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the genealogy of the categories: what became what, at which position, and why.

    Example: `memstream evolve history -u ana`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, r.GetEvolution(tenant=tenant, user=user, rejected=rejected))
        where.print(found) if as_json else show.show_history(out, found)


@app.command(name="show")
def show_step(
    step_id: StepArgument,
    user: UserOption,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one step: its reason, its evidence, and everything that it moved.

    Example: `memstream evolve show 6a001d15 -u ana`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, r.GetStep(tenant=tenant, user=user, step_id=step_id))
        if as_json:
            where.print(found)
        else:
            everything = carried_out(where, r.GetEvolution(tenant=tenant, user=user))
            show.show_step(out, found, everything)


@app.command()
def revert(
    step_id: StepArgument,
    user: UserOption,
    reason: Annotated[str, typer.Option(help="Why; kept in the log.")] = "asked for",
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo one step; later ones that do not build on it stay.

    Example: `memstream evolve revert 6a001d15 -u ana`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, r.RevertStep(tenant=tenant, user=user, step_id=step_id, reason=reason))
        where.print(found) if as_json else show.show_reverted(out, found)


@app.command()
def policy(
    user: UserOption,
    choose: Annotated[str | None, typer.Option(help="The policy to evolve by from now on.")] = None,
    pause: Annotated[bool | None, typer.Option("--pause/--resume", help="Stop evolving this memory, or go on.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the log.")] = "",
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the policies and the one in use, choose another, pause or resume.

    Examples: `memstream evolve policy -u ana` · `memstream evolve policy -u ana --pause`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json):
        operation = r.ConfigureEvolution(tenant=tenant, user=user, policy=choose, paused=pause, reason=reason)
        found = carried_out(where, operation)
        where.print(found) if as_json else show.show_configured(out, found)


@app.command()
def compare(
    user: UserOption,
    policies: Annotated[list[str], typer.Option("--policy", "-p", help="A policy; give two or more.")],
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what memory would look like under other policies, judged on the newer half of what is recorded.

    Example: `memstream evolve compare -u ana --policy none --policy default`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, r.ComparePolicies(tenant=tenant, user=user, policies=tuple(policies)))
        where.print(found) if as_json else show.show_compared(out, found)


def _evolve(where: Where, operation: r.Evolve) -> None:
    with errors_end(where.as_json):
        found = carried_out(where, operation)
        where.print(found) if where.as_json else show.show_evolved(out, found)
