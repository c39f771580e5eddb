"""What the benchmarks share: a real server in a temporary directory, medians, memory, and one way to report.

Every benchmark ends with one line of JSON on standard output; with ``--json`` it prints nothing else. Bars are
reported, never enforced: a slow machine is no broken build.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Literal

import psutil
from rich.console import Console
from rich.table import Table

from memstream.events.datadir import DataDirectory
from memstream.events.server import EmbeddedServer

_MEBIBYTE = 2**20
# A pipe has no width, and cut-off figures are no figures.
_WIDTH = 120


@dataclass(frozen=True)
class Bar:
    """What a figure has to reach: ``limit`` at least, or at most."""

    key: str
    side: Literal["least", "most"]
    limit: float

    def met(self, figures: Mapping[str, float]) -> bool:
        """Tell whether the figure of this bar's key reaches it; exactly at the limit is enough."""
        value = figures[self.key]
        return value >= self.limit if self.side == "least" else value <= self.limit


@asynccontextmanager
async def temporary_server() -> AsyncIterator[EmbeddedServer]:
    """Start the embedded NATS server, with every append synced, in a directory that goes with it."""
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root, DataDirectory.claim(root) as directory:
        async with await EmbeddedServer.start(directory) as server:
            yield server


def arguments(documentation: str, examples: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser that knows ``--json`` and shows examples below its help."""
    shown = "\n".join(f"  {example}" for example in examples)
    parser = argparse.ArgumentParser(
        description=documentation,
        epilog=f"examples:\n{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the JSON line alone")
    return parser


def positive(text: str) -> int:
    """Parse a count of at least one, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def in_fresh_processes(script: str, options: Sequence[str], rounds: int) -> list[dict[str, float]]:
    """Run a benchmark's script once per round, each in its own process, and return what each reported.

    Nothing is warm that would be cold for a user, and no round's memory counts for another.
    """
    command = [sys.executable, script, *options, "--rounds", "1", "--json"]
    return [figures_of(command) for _ in range(rounds)]


def figures_of(command: Sequence[str], given: str | None = None) -> dict[str, float]:
    """Run a process, which may read what is ``given``, and return the figures in the last line that it prints."""
    output = subprocess.run(command, check=True, input=given, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median over the rounds of each figure."""
    return {key: round(median(one[key] for one in rounds), 4) for key in rounds[0]}


def peak_rss_mb() -> float:
    """Return the most memory that this process has held, in MiB, without its children."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, KiB elsewhere.
    return peak / _MEBIBYTE if sys.platform == "darwin" else peak / 1_024


def children_rss_mb() -> float:
    """Return the memory that this process's children hold now, in MiB: the server and its supervisor."""
    held = sum(child.memory_info().rss for child in psutil.Process().children(recursive=True))
    return float(held / _MEBIBYTE)


def report(title: str, figures: Mapping[str, float], bars: Sequence[Bar] = (), *, as_json: bool) -> None:
    """Print the figures with their bars as a table, then as one line of JSON."""
    if not as_json:
        print_table(title, ["figure", "value", "bar", "met"], _rows(figures, {bar.key: bar for bar in bars}))
    print_json(figures)


def print_json(result: Mapping[str, object]) -> None:
    """Print the last line of a benchmark: its result as one JSON object."""
    print(json.dumps(result, ensure_ascii=False))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; every column but the first is right-aligned."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.width = max(console.width, _WIDTH)
    console.print(table)


def _rows(figures: Mapping[str, float], bars: Mapping[str, Bar]) -> list[list[str]]:
    rows: list[list[str]] = []
    for key, value in figures.items():
        bar = bars.get(key)
        wanted = f"{'≥' if bar.side == 'least' else '≤'} {bar.limit:,g}" if bar else ""
        verdict = "" if bar is None else "[green]yes[/]" if bar.met(figures) else "[red]no[/]"
        rows.append([key, f"{value:,.3f}".rstrip("0").rstrip("."), wanted, verdict])
    return rows
