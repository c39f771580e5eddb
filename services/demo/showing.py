"""How the demo looks in a terminal, up to 100 columns wide."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from memstream.events.payloads import Layer
from memstream.projections.models import CategoryFile, Counts, ItemHit
from memstream.services.reads import Retrieved
from memstream.services.results import Memorized

from .quoting import Originals, Quote
from .story import QUESTIONS, USER, Chapter, Question

_WIDTH = 100
_TOP = 3
_NAMES = 4
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


def put(out: Console, what: RenderableType, *, indent: int = 0) -> None:
    """Print something, wrapped at the demo's width."""
    padded = Padding(what, (0, 0, 0, indent), expand=False)
    out.print(padded, width=min(out.width, _WIDTH), soft_wrap=False)


def heading(out: Console, text: str) -> None:
    """Begin a part of the demo."""
    out.print()
    put(out, Rule(Text(text, "bold cyan"), align="left", style="cyan"))


def show_intro(out: Console, data_dir: Path) -> None:
    """Say what is about to happen."""
    heading(out, "memstream demo")
    text = (
        f"Two conversations and a document become the memory of the user {USER!r}, and six questions are asked. "
        "All of it happens on this machine: no language model, no key, no network."
    )
    put(out, Text(text))
    out.print(Text.assemble("Its memory is kept in ", (str(data_dir), "bold"), "."))


def show_chapter(out: Console, chapter: Chapter, done: Memorized) -> None:
    """One line for an input: what came in, and what it became."""
    word = Text("known already", "yellow") if done.duplicate else Text("memorized", "green")
    word.pad_right(15 - len(word))
    became = f"{done.resource.segments} segments, {done.resource.items} items"
    put(out, Text.assemble(word, (f"{chapter.file:<26}", "bold"), f"{chapter.size():>12} → {became}"))
    put(out, Text(chapter.about, "dim"), indent=15)


def show_question(out: Console, number: int, question: Question, found: Retrieved) -> None:
    """Show a question with the conversation before it, and the tiers of its answer."""
    heading(out, f"Question {number} of {len(QUESTIONS)}: {question.case}")
    for turn in question.history:
        put(out, Text(f"{turn.role}: {turn.content}", "dim"))
    put(out, Text(found.original_query, "bold"))
    if found.rewritten_query != found.original_query:
        put(out, Text.assemble(("asked as ", "dim"), found.rewritten_query))
    out.print()
    put(out, _tiers(found), indent=2)


def show_hits(out: Console, found: Retrieved, originals: Originals) -> None:
    """Show the best items, each with the messages that it came from."""
    for hit in found.items[:_TOP]:
        out.print()
        _show_hit(out, hit, [originals.quote(source) for source in hit.sources])


def show_feedback(out: Console, hit: ItemHit, position: int | None) -> None:
    """Say what feedback the log has."""
    told = "was recorded in an earlier run" if position is None else f"recorded at log position {position}"
    out.print()
    put(out, Text(f"feedback {told}: item {hit.id} was used", "dim"), indent=2)


def show_counts(out: Console, counts: Counts, events: dict[str, int]) -> None:
    """Show how much memory holds, and the events that it was made from."""
    heading(out, "What memory holds now, and the events behind it")
    layers = ("resources", "segments", "items", "categories")
    put(out, Text(", ".join(f"{getattr(counts, layer)} {layer}" for layer in layers), "bold"))
    out.print()
    table = Table("event", "count", "what it says", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for name, number in sorted(events.items()):
        table.add_row(name, f"{number:,}", Text(_MEANINGS.get(name, ""), "dim"))
    put(out, table)


def show_repeat(out: Console, before: Counts, after: Counts) -> None:
    """Say what a further run added: nothing to memory, and its questions to the log."""
    added = sum(getattr(after, layer) - getattr(before, layer) for layer in ("resources", "segments", "items"))
    added += after.categories - before.categories
    text = (
        f"Added to memory by this run: {added or 'nothing'}. "
        f"Its {len(QUESTIONS)} questions are in the log as retrieval.served, because every use of memory is recorded."
    )
    out.print()
    put(out, Text(text, "yellow"))


def show_files(out: Console, written: Sequence[tuple[Path, CategoryFile]]) -> None:
    """List the category files that were written."""
    heading(out, "The category files, as Markdown")
    for path, file in written:
        # A path is never wrapped, so that it can be copied.
        out.print(Text.assemble(str(path), (f"  {len(file.citations)} statements", "dim")), soft_wrap=True)


def show_next(out: Console, data_dir: Path, seconds: float) -> None:
    """Say what to try next."""
    heading(out, "Try next")
    where = f"--data-dir {shlex.quote(str(data_dir))}"
    for command in (
        f'memstream retrieve "When is the concert in Ghent?" --user {USER} {where}',
        f"memstream files --user {USER} {where}",
        f"memstream files relationships --user {USER} {where}",
        f"memstream up {where}",
    ):
        out.print(Text(f"  {command}"), soft_wrap=True)
    out.print()
    out.print(Text(f"done in {seconds:.1f} s", "dim"))


def _tiers(found: Retrieved) -> Table:
    table = Table.grid("", "", "", "", padding=(0, 2, 0, 0))
    rows: tuple[tuple[Layer, list[str]], ...] = (
        ("category", [hit.name for hit in found.categories]),
        ("item", [hit.id[:8] for hit in found.items]),
        ("resource", list(dict.fromkeys(hit.name for hit in found.resources))),
    )
    for layer, names in rows:
        enough = Text("← sufficient", "green") if found.sufficient_at == layer else Text()
        count = {"category": found.categories, "item": found.items, "resource": found.resources}[layer]
        more = " …" if len(names) > _NAMES else ""
        shown = ", ".join(names[:_NAMES]) + more if names else "not needed"
        table.add_row(Text(layer, "cyan"), str(len(count)), Text(shown, "" if names else "dim"), enough)
    return table


def _show_hit(out: Console, hit: ItemHit, quotes: Sequence[Quote]) -> None:
    happened = f", happened {_day(hit.happened)}" if hit.happened else ""
    put(out, Text.assemble((f"{hit.rank}. ", "bold"), (f"{hit.kind}{happened}, item {hit.id}", "dim")), indent=2)
    words = [" ".join(quote.text.split()) for quote in quotes]
    statement = " ".join(hit.text.split())
    if statement not in words:
        put(out, Text(statement, "bold"), indent=5)
    for quote, text in zip(quotes, words, strict=True):
        put(out, Text(f"“{text}”", "bold" if text == statement else "italic"), indent=5)
        said = ", ".join(part for part in (quote.speaker, _moment(quote.time), quote.place) if part)
        put(out, Text(f"— {said}", "dim"), indent=5)


def _day(moment: datetime) -> str:
    return f"{moment:%A} {moment.day} {moment:%B %Y}"


def _moment(moment: datetime | None) -> str:
    return f"{_day(moment)} at {moment:%H:%M}" if moment else ""
