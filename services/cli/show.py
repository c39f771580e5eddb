"""How results look in a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from memstream.projections.models import CategoryFile, Item, ItemHit, Resource, SourceRef
from memstream.services.reads import Retrieved
from memstream.services.results import EventView, Memorized, Status


def show_memorized(out: Console, done: Memorized) -> None:
    """One line of what came in, one of what it became."""
    taken = done.resource.status == "ingested"
    word = "known already" if done.duplicate else "taken" if taken else "memorized"
    out.print(f"[bold]{word}[/] {escape(done.resource.name)} ({done.resource.modality}) as resource {done.resource.id}")
    if taken:
        out.print(
            f"  safe in the log at position {done.position}, and searchable once a service has worked on it: "
            "the same command without --no-wait waits for that"
        )
        return
    names = ", ".join(category.name for category in done.categories) or "none"
    out.print(
        f"  {done.resource.segments} segments, {done.resource.items} items, categories: {escape(names)}; log position {done.position}"
    )


def show_retrieved(out: Console, found: Retrieved, explain: bool = False) -> None:
    """Show the tiers, the items with their sources, and what sufficed."""
    if not found.needs_retrieval:
        out.print("[dim]this needs no memory[/]")
        return
    if found.rewritten_query != found.original_query:
        out.print(f"[dim]asked as:[/] {escape(found.rewritten_query)}")
    _show_categories(out, found)
    for hit in found.items:
        out.print(f"[bold]{hit.rank:>2}.[/] {escape(hit.text)}")
        out.print(f"    [dim]{escape(source_line(hit))}[/]")
        _show_reason(out, hit.reason)
        if explain:
            parts = ", ".join(f"{name} {value:.2f}" for name, value in hit.signals.items())
            out.print(f"    [dim]score {hit.score:.3f}: {parts}[/]")
    for piece in found.resources[:3]:
        first = piece.text.strip().splitlines()[0] if piece.text.strip() else ""
        out.print(f"[dim] segment of {escape(piece.name)}: {escape(first[:100])} …[/]")
        _show_reason(out, piece.reason)
    if not (found.categories or found.items or found.resources):
        out.print("[dim]nothing found[/]")
    if found.unread:
        left = ", ".join(f"{number:,} of the {layer} layer" for layer, number in found.unread.items())
        out.print(f"[dim]not read, for want of room: {left}[/]")
    sufficient = (
        f"sufficient at the {found.sufficient_at} tier"
        if found.sufficient_at
        else "nothing that was found is clearly sufficient"
    )
    if found.confidence is not None:
        sufficient += f" (confidence {found.confidence:.2f})"
    out.print(f"[dim]{sufficient}; retrieval {found.retrieval_id} as of position {found.as_of}[/]")


def _show_categories(out: Console, found: Retrieved) -> None:
    """Name the categories; print the pages that a model read, when nothing below them was needed."""
    if found.sufficient_at != "category" or found.items:
        if found.categories:
            out.print("[dim]categories:[/] " + ", ".join(escape(hit.name) for hit in found.categories[:5]))
        return
    for hit in found.categories:
        out.print(f"[bold]{hit.rank:>2}.[/] {escape(hit.summary.strip() or hit.description)}")
        _show_reason(out, hit.reason)


def _show_reason(out: Console, reason: str | None) -> None:
    if reason:
        out.print(f"    [dim]because: {escape(reason)}[/]")


def source_line(hit: ItemHit) -> str:
    """Say who said it, when, and in which messages."""
    when = f"{hit.happened:%Y-%m-%d}" if hit.happened else ""
    places = "; ".join(place_of(source) for source in hit.sources[:3])
    more = f" and {len(hit.sources) - 3} more" if len(hit.sources) > 3 else ""  # noqa: PLR2004 - what fits on a line
    return " · ".join(part for part in (hit.speaker or "", when, hit.kind, f"from {places}{more}", hit.id) if part)


def place_of(source: SourceRef) -> str:
    """Name the messages, or the span, of a source."""
    if source.message_ids:
        return f"message {', '.join(source.message_ids)}"
    return f"{source.span.unit}s {source.span.start}–{source.span.end}"


def show_items(out: Console, items: Sequence[Item]) -> None:
    """One line an item."""
    table = Table("made", "kind", "speaker", "statement", "id", box=None, pad_edge=False)
    for item in items:
        table.add_row(str(item.made), item.kind, escape(item.speaker or ""), escape(item.text), item.id)
    out.print(table if items else "[dim]no items yet[/]")


def show_resources(out: Console, resources: Sequence[Resource]) -> None:
    """One line a resource."""
    table = Table("made", "name", "modality", "status", "segments", "items", "bytes", "id", box=None, pad_edge=False)
    for one in resources:
        table.add_row(
            *(str(one.made), escape(one.name), one.modality, one.status, str(one.segments), str(one.items)),
            *(f"{one.size:,}", one.id),
        )
    out.print(table if resources else "[dim]no resources yet[/]")


def show_files(out: Console, files: Sequence[CategoryFile]) -> None:
    """One line a category file."""
    table = Table("category", "version", "cites", "covers", "id", box=None, pad_edge=False)
    for file in files:
        table.add_row(
            escape(file.name), str(file.version), str(len(file.citations)), str(file.covers), file.category_id
        )
    out.print(table if files else "[dim]no category files yet[/]")


def event_line(event: EventView) -> str:
    """One line an event."""
    shown = {key: value for key, value in event.data.items() if isinstance(value, str | int | float | bool)}
    text = " ".join(f"{key}={value}" for key, value in shown.items())
    return f"{event.position:>8}  {event.time:%Y-%m-%d %H:%M:%S}  {event.type:<20} {text[:140]}"


def show_status(out: Console, status: Status) -> None:
    """Show the log, the projection, and events by type."""
    out.print(f"memstream {status.version}")
    out.print(f"log         position {status.log_position:,}, {status.messages:,} events of this user")
    out.print(f"projection  position {status.projection_position:,}, {status.lag:,} behind, {status.parked:,} parked")
    if status.failure:
        out.print(f"[bold red]stuck:[/] {escape(status.failure)}")
    for name, number in sorted(status.events.items()):
        out.print(f"  {name:<22}{number:>8,}")
