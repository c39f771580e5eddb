"""How the results of operations look in a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console

from memstream.projections.models import Digest, Generation, ParkedEvent
from memstream.services.operations import (
    Exported,
    Forgotten,
    Imported,
    ParkedContent,
    Reembedded,
    Reextracted,
    Replayed,
    Restored,
    Snapshot,
    Unparked,
    Verified,
)


def show_digest(out: Console, found: Digest) -> None:
    """Print the digest alone on its line, then what it is made of."""
    out.print(found.digest)
    out.print(f"as of position {found.position}:", style="dim")
    for table in found.tables:
        out.print(f"  {table.rows:>9,}  {table.name:<40} {table.digest[:16]}", style="dim", markup=False)


def show_verified(out: Console, found: Verified) -> None:
    """Print whether what is served equals the log, and where it does not."""
    if found.matches:
        out.print(f"[bold green]equal[/]  {found.served.digest}  as of position {found.position}")
        return
    out.print(f"[bold red]different[/] as of position {found.position}")
    if (first := found.difference) is not None:
        out.print(f"first in table {first.table}", markup=False)
        out.print(f"  served only:  {first.only_served or '-'}", markup=False)
        out.print(f"  rebuilt only: {first.only_rebuilt or '-'}", markup=False)


def show_replayed(out: Console, found: Replayed) -> None:
    """Print what a replay made, and how fast."""
    rate = found.items / found.seconds if found.seconds else 0.0
    again = " (went on where an earlier one stopped)" if found.resumed else ""
    out.print(
        f"replayed to position {found.position}{again}: {found.events:,} events, {found.items:,} items "
        f"in {found.seconds:.1f} s, {rate:,.0f} items/s"
    )
    if found.served:
        out.print(f"serving {found.generation}; take it back with: memstream generations rollback")
    else:
        out.print(f"built in {found.directory}; compare with: memstream digest --projection {found.directory}")


def show_generations(out: Console, found: Sequence[Generation]) -> None:
    """Print generations, one a line."""
    for one in found:
        made = datetime.fromtimestamp(one.created, UTC)
        out.print(
            f"{one.name}  {one.state:<9} position {one.position:>9}  {one.bytes / 2**20:>9,.1f} MiB  {made:%Y-%m-%d %H:%M:%S}"
        )


def show_parked(out: Console, found: Sequence[ParkedEvent]) -> None:
    """Print parked events, one a line with its reason."""
    if not found:
        out.print("nothing is parked")
    for one in found:
        behind = f", {len(one.waiting)} wait behind it" if one.waiting else ""
        out.print(
            f"{one.position:>9}  {one.type:<22} {one.tenant}/{one.user}  attempts {one.attempts}{behind}: {one.reason}",
            markup=False,
        )


def show_parked_content(out: Console, found: ParkedContent) -> None:
    """Print one parked event with its body."""
    show_parked(out, [found.parked])
    out.print(f"  subject  {found.subject}", markup=False)
    out.print(f"  waiting  {', '.join(map(str, found.parked.waiting)) or 'none'}")
    out.print(found.body, markup=False)


def show_unparked(out: Console, found: Unparked) -> None:
    """Print what became of parked events."""
    out.print(f"applied: {', '.join(map(str, found.applied)) or 'none'}")
    if found.still_parked:
        out.print("still parked:")
        show_parked(out, found.still_parked)


def show_forgotten(out: Console, found: Forgotten) -> None:
    """Print what an erasure removed."""
    out.print(
        f"forgotten: {found.layer} {found.target}; {found.removed} events removed, {found.redacted} kept in part; "
        f"tombstone at position {found.tombstone}",
        markup=False,
    )


def show_snapshots(out: Console, found: Sequence[Snapshot]) -> None:
    """Print snapshots, one a line."""
    if not found:
        out.print("no snapshots")
    for one in found:
        made = datetime.fromtimestamp(one.created, UTC)
        out.print(
            f"{one.name:<24} position {one.position:>9}  {one.bytes / 2**20:>9,.1f} MiB  {made:%Y-%m-%d %H:%M:%S}"
        )


def show_restored(out: Console, found: Restored) -> None:
    """Print what is served now, and why it was replayed if it was."""
    if found.reason:
        out.print(f"[yellow]{found.reason}[/]; replayed from the log")
    out.print(f"serving {found.generation} at position {found.position}")


def show_exported(out: Console, found: Exported) -> None:
    """Print what was written where."""
    out.print(
        f"wrote {found.events:,} events and {found.resources:,} resources up to position {found.until} "
        f"into {found.path} ({found.bytes / 2**20:,.1f} MiB)",
        markup=False,
    )


def show_imported(out: Console, found: Imported) -> None:
    """Print how much was new."""
    out.print(f"{found.events:,} events read, {found.added:,} were new, {found.resources_added:,} new resources")


def show_reextracted(out: Console, found: Reextracted) -> None:
    """Print what another extraction changed, or would change."""
    if found.estimated:
        out.print(
            f"{found.extractor} would read about {found.tokens:,} tokens of {found.resources:,} resources "
            f"({found.already_done:,} were done already)"
        )
        return
    would = "would go" if found.dry_run else "went"
    out.print(
        f"{found.extractor} {would} over {found.resources:,} resources ({found.already_done:,} were done already): "
        f"{found.items_new:,} new items, {found.items_kept:,} kept, {found.items_superseded:,} superseded; "
        f"about {found.tokens:,} tokens of statements"
    )


def show_reembedded(out: Console, found: Reembedded) -> None:
    """Print which space is in use now, and what it took."""
    out.print(
        f"asking in {found.space} since position {found.position}: {found.events_embedded:,} events embedded, "
        f"{found.old_events_dropped:,} of the old space dropped"
    )
