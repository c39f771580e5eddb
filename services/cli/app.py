"""The commands."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from memstream import __version__
from memstream.events.errors import InvalidInput
from memstream.services.reads import MAX_TOP_K

from . import evolving, forgetting, operating, reading, reporting, show, snapshots
from .session import (
    DATA,
    EXIT_CODES,
    AsOfOption,
    DataOption,
    JsonOption,
    TenantOption,
    UrlOption,
    UserOption,
    Where,
    err,
    errors_end,
    moment,
    out,
    quiet_logs,
)

app = typer.Typer(
    name="memstream",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help=f"Event-sourced memory for AI agents.\n\nStart with `memstream demo`, then `memstream up`.\n\n{EXIT_CODES}",
)


app.add_typer(reading.app)
app.add_typer(operating.app)
app.add_typer(evolving.app, name="evolve")
app.add_typer(forgetting.app, name="forget")
app.add_typer(snapshots.app, name="snapshot")
app.add_typer(reporting.app, name="report")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"memstream {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more, to standard error.")] = False,
) -> None:
    """Set up what all commands share."""
    quiet_logs("INFO" if verbose else "ERROR")


@contextmanager
def _working(text: str, *, hidden: bool) -> Iterator[None]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=hidden or not err.is_terminal) as progress:
        progress.add_task(text)
        yield


@app.command()
def demo(
    data_dir: Annotated[Path, typer.Option("--data-dir", "-d", help="Where the demo's memory is kept.")] = Path(
        "demo-data"
    ),
) -> None:
    """Memorize two conversations and a document, and ask six questions.

    Example: `memstream demo`
    """
    from memstream.services.demo.script import run_demo  # noqa: PLC0415 - loads the databases

    with errors_end():
        run_demo(data_dir, out)


@app.command()
def up(
    parts: Annotated[
        list[str] | None,
        typer.Argument(help="Which parts: memory, extraction, embedding, gateway. Default: all."),
    ] = None,
    data_dir: DataOption = DATA,
    host: Annotated[str, typer.Option(help="Address to listen on.", envvar="MEMSTREAM_HOST")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="HTTP port; 0 takes a free one.", envvar="MEMSTREAM_PORT", min=0, max=65_535)
    ] = 8377,
    nats_url: Annotated[
        str | None,
        typer.Option(help="A NATS server to use instead of the embedded one.", envvar="MEMSTREAM_NATS_URL"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the service: the NATS server, the consumers, the stores and the HTTP gateway.

    Examples: `memstream up` · `memstream up --port 0 --data-dir /var/lib/memstream` ·
    `memstream up extraction --nats-url nats://nats:4222` (one part of many)
    """
    from memstream.services.bootstrap import ALL_PARTS, Part, Service  # noqa: PLC0415 - loads the databases
    from memstream.services.serving import serve_until_stopped  # noqa: PLC0415 - other commands do not wait for the web server
    from memstream.services.settings import Settings  # noqa: PLC0415 - see above

    def started(service: Service, address: str | None) -> None:
        if as_json:
            ready = {"ready": True, "http": address, "nats": service.nats_url, "parts": sorted(service.parts)}
            typer.echo(json.dumps(ready))
            return
        out.print(f"[bold green]ready[/]  {', '.join(sorted(service.parts))}")
        out.print(f"  NATS   {service.nats_url}")
        if address:
            out.print(f"  HTTP   {address}   (API page: {address}/docs, metrics: {address}/metrics)")
        out.print("  stop with Ctrl-C")

    with errors_end(as_json):
        chosen: list[Part] = [part for part in ALL_PARTS if parts is None or part in parts]
        if unknown := sorted(set(parts or ()) - set(ALL_PARTS)):
            raise InvalidInput(f"unknown part {unknown[0]!r}; known are {', '.join(ALL_PARTS)}")
        if nats_url is None and set(chosen) != set(ALL_PARTS):
            raise InvalidInput("parts run alone only around a shared NATS server: name it with --nats-url")
        settings = Settings(data_dir=data_dir, host=host, port=port, nats_url=nats_url)
        asyncio.run(serve_until_stopped(settings, chosen, started=started))


@app.command()
def memorize(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Conversations (.json, .jsonl), documents (.txt, .md, .html, .pdf, .docx), images, recordings."
        ),
    ],
    user: UserOption,
    tenant: TenantOption = "default",
    modality: Annotated[
        str | None, typer.Option(help="conversation, document, image or audio; guessed from the file's name.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="The session that they belong to.")] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait/--no-wait", help="Return when the result can be retrieved, or once it is in the log."),
    ] = True,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each file.", min=0.1)] = 120.0,
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Memorize files. The same input twice adds nothing.

    Examples: `memstream memorize chat.json notes.md --user ana` · `memstream memorize chat.jsonl -u ana --json`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json), where.open() as memory:
        results = []
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=err, transient=True, disable=as_json or not err.is_terminal) as progress:
            task = progress.add_task("memorizing", total=len(files))
            for file in files:
                progress.update(task, description=f"memorizing {file.name}")
                done = memory.memorize(file, modality=modality, session=session, wait=wait, timeout=timeout)
                results.append(done)
                progress.advance(task)
                if not as_json:
                    show.show_memorized(progress.console if err.is_terminal else out, done)
        if as_json:
            where.print(results)


@app.command()
def retrieve(
    query: Annotated[str, typer.Argument(help="The question.")],
    user: UserOption,
    tenant: TenantOption = "default",
    top_k: Annotated[int, typer.Option(help="Hits of each tier.", min=1, max=MAX_TOP_K)] = 5,
    max_tokens: Annotated[int, typer.Option(help="Size of the context.", min=50, max=200_000)] = 2_000,
    method: Annotated[str, typer.Option(help="rag, or llm (needs a language model).")] = "rag",
    use_model: Annotated[
        bool, typer.Option("--model/--no-model", help="Let a configured language model help the search.")
    ] = True,
    history: Annotated[
        Path | None, typer.Option(help="The conversation so far, a JSON list of {role, content}.")
    ] = None,
    as_of: AsOfOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say which signals put each item there.")] = False,
    context: Annotated[bool, typer.Option("--context", help="Print only the prompt-ready context.")] = False,
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask memory.

    Examples: `memstream retrieve "What does Ana do at weekends?" --user ana` · `memstream retrieve "…" -u ana --context` ·
    `memstream retrieve "Where does Mia live?" -u ana --as-of 2026-11-01T12:00Z` ·
    `memstream retrieve "…" -u ana --method llm` · `memstream retrieve "…" -u ana --no-model`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json):
        turns = _history(history)
        with where.open() as memory, _working("asking memory", hidden=as_json):
            found = memory.retrieve(
                query,
                conversation_history=turns,
                method=method,
                top_k=top_k,
                max_tokens=max_tokens,
                use_model=use_model,
                as_of=moment(as_of),
            )
        if as_json:
            where.print(found)
        elif context:
            typer.echo(found.context)
        else:
            show.show_retrieved(out, found, explain)


@app.command()
def feedback(
    retrieval_id: Annotated[str, typer.Argument(help="The id that retrieve printed.")],
    user: UserOption,
    tenant: TenantOption = "default",
    used: Annotated[list[str] | None, typer.Option(help="An id that was used; may be repeated.")] = None,
    helpful: Annotated[list[str] | None, typer.Option(help="An id that helped; may be repeated.")] = None,
    wrong: Annotated[list[str] | None, typer.Option(help="An id that was wrong; may be repeated.")] = None,
    missing: Annotated[str | None, typer.Option(help="What should have been found, a line for each fact.")] = None,
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which hits of a retrieval were used, helpful or wrong, and what was missing.

    Example: `memstream feedback 0195… --user ana --used 81fa…`
    """
    where = Where(user, tenant, data_dir, url, as_json)
    with errors_end(as_json), where.open() as memory:
        receipt = memory.feedback(
            retrieval_id, used=used or (), helpful=helpful or (), wrong=wrong or (), missing=missing
        )
        if as_json:
            where.print(receipt)
        else:
            out.print(f"recorded as event {receipt.event_id} at position {receipt.position}")
            for item in receipt.missed:
                out.print(f"missed: {item}, which comes up sooner from now on")


@app.command()
def doctor(
    data_dir: DataOption = DATA,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check this installation: packages, the NATS server, the embedder, models, the disk, and a round trip.

    Example: `memstream doctor`
    """
    from .doctor import diagnose  # noqa: PLC0415 - loads everything there is

    checks = diagnose(data_dir, url)
    if as_json:
        typer.echo(json.dumps([check._asdict() for check in checks], indent=2))
    else:
        for check in checks:
            out.print(
                f"{'[green]ok  [/]' if check.ok else '[bold red]FAIL[/]'} {check.name:<22} {check.detail}",
                markup=True,
            )
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.command(hidden=True)
def asyncapi() -> None:
    """Print the AsyncAPI document of the events."""
    from memstream.services.asyncapi import asyncapi_document  # noqa: PLC0415 - other commands do not wait for faststream

    typer.echo(json.dumps(asyncapi_document(), indent=2))


def _history(path: Path | None) -> list[dict[str, object]]:
    if path is None:
        return []
    try:
        values = json.loads(path.read_text())
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidInput(f"{str(path)!r} is not JSON: {error}") from error
    if not isinstance(values, list):
        raise InvalidInput(f"{str(path)!r} must hold a list of messages")
    return values
