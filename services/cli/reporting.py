"""``memstream report``: what the log tells about the service's own doings."""

import typer
from rich.table import Table

from memstream.services import operations as o

from .operating import SomeUserOption, carried_out
from .session import (
    DATA,
    DataOption,
    JsonOption,
    TenantOption,
    UrlOption,
    Where,
    errors_end,
    out,
)

app = typer.Typer(no_args_is_help=True, help="Report what the log tells: costs.")


@app.callback()
def _group() -> None:
    """Report what the log tells: costs."""


@app.command()
def cost(
    user: SomeUserOption = None,
    tenant: TenantOption = "default",
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what language models have cost, by task and model: calls, tokens, seconds, and dollars where prices are known.

    Examples: `memstream report cost` · `memstream report cost -u ana --json`
    """
    where = Where(user or "", tenant, data_dir, url, as_json)
    with errors_end(as_json):
        found = carried_out(where, o.ReportCosts(tenant=tenant, user=user))
        where.print(found) if as_json else _show(found)


def _show(found: o.CostReport) -> None:
    if not found.costs:
        out.print("no language model has been asked")
        return
    table = Table("task", "model", *("calls", "tokens in", "tokens out", "seconds", "dollars"))
    for one in found.costs:
        dollars = "" if one.dollars is None else f"{one.dollars:.4f}"
        table.add_row(
            *(one.task, one.model, f"{one.calls:,}", f"{one.tokens_in:,}", f"{one.tokens_out:,}"),
            *(f"{one.seconds:,.1f}", dollars),
        )
    out.print(table)
