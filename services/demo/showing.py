"""How the demo looks in a terminal: up to 100 columns, also when it is written into a file."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from memstream.projections.models import CategoryFile, Counts
from memstream.services.results import Memorized

from .story import QUESTIONS, USER, Chapter

_WIDTH = 100
_MEANINGS = {
    "resource.ingested": "an input arrived; its bytes are kept as they came",
    "resource.described": "it was cut into segments",
    "items.extracted": "statements were found in it, each with its source",
    "extraction.failed": "an attempt failed, with its reason",
    "vectors.embedded": "texts got their vectors, so that a replay needs no model",
    "category.created": "a theme was opened",
    "category.summarized": "a category file was written anew",
    "retrieval.served": "a question was answered, with these ids",
    "feedback.given": "somebody said what helped",
}
_LAYERS = ("resources", "segments", "items", "categories")


def fit(out: Console) -> None:
    """Give a console that writes into a file our width, where it would guess."""
    if not out.is_terminal:
        out.width = _WIDTH


def put(out: Console, text: Text, *, indent: int = 0) -> None:
    """Print a text, wrapped at the demo's width."""
    for line in text.wrap(out, min(out.width, _WIDTH) - indent):
        line.rstrip()
        out.print(Text(" " * indent) + line)


def heading(out: Console, text: str) -> None:
    """Begin a part of the demo."""
    out.print()
    rule = Rule(Text(text, "bold cyan"), align="left", style="cyan")
    out.print(rule, width=min(out.width, _WIDTH), soft_wrap=False)


def show_intro(out: Console, data_dir: Path) -> None:
    """Say what is about to happen."""
    heading(out, "memstream demo")
    text = (
        f"Two conversations and a document become the memory of the user {USER!r}, then {len(QUESTIONS)} questions are "
        "asked. It all happens on this machine: no language model, no key, no network."
    )
    put(out, Text(text))
    out.print(Text.assemble("The memory is kept in ", (str(data_dir), "bold"), "."))


def show_chapter(out: Console, chapter: Chapter, done: Memorized) -> None:
    """One line for an input: what came in, and what it became."""
    word, colour = ("known already", "yellow") if done.duplicate else ("memorized", "green")
    line = f"  {chapter.file:<24}  {chapter.size():>11}  {done.resource.items:>2} items  "
    put(out, Text.assemble((f"{word:<13}", colour), line, (chapter.about, "dim")))


def show_counts(out: Console, counts: Counts, events: dict[str, int]) -> None:
    """Show how much memory holds, and the events that it was made from."""
    heading(out, "What memory holds now, and the events behind it")
    put(out, Text(", ".join(f"{getattr(counts, layer)} {layer}" for layer in _LAYERS), "bold"))
    out.print()
    for name, number in sorted(events.items()):
        put(out, Text.assemble((f"{name:<20}", "cyan"), f"{number:>5,}  ", (_MEANINGS.get(name, ""), "dim")))


def show_repeat(out: Console, before: Counts, after: Counts) -> None:
    """Say what a further run added: nothing to memory, and its questions to the log."""
    grown = [layer for layer in _LAYERS if getattr(after, layer) != getattr(before, layer)]
    text = (
        f"This run added {'to ' + ', '.join(grown) if grown else 'nothing to memory: all of it was known already'}. "
        f"Its {len(QUESTIONS)} questions are in the log as retrieval.served, because every use of memory is recorded."
    )
    out.print()
    put(out, Text(text, "yellow"))


def show_files(out: Console, written: Sequence[tuple[Path, CategoryFile]]) -> None:
    """List the category files that were written."""
    heading(out, "The category files, as Markdown")
    for path, file in written:
        # A path stays on one line, so that it can be copied.
        out.print(Text.assemble(str(path), (f"  cites {len(file.citations)} items", "dim")), soft_wrap=True)


def show_next(out: Console, data_dir: Path, seconds: float) -> None:
    """Say what to try next."""
    heading(out, "Try next")
    where = f"--data-dir {shlex.quote(str(data_dir))}"
    for command in (
        f'memstream retrieve "When is the concert in Ghent?" --user {USER} {where}',
        f"memstream files --user {USER} {where}",
        f"memstream files work_life --user {USER} {where}",
        f"memstream up {where}",
    ):
        out.print(Text(f"  {command}"), soft_wrap=True)
    out.print()
    out.print(Text(f"done in {seconds:.1f} s", "dim"))
