"""How an answer looks: what each tier found, which one sufficed, and the words behind the best items."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from memstream.projections.models import ItemHit
from memstream.services.reads import Retrieved

from .quoting import Originals, Quote
from .showing import heading, put
from .story import QUESTIONS, Question

_TOP = 3


def show_question(out: Console, number: int, question: Question, found: Retrieved) -> None:
    """Show a question, with the conversation that it comes from."""
    heading(out, f"Question {number} of {len(QUESTIONS)}: {question.case}")
    for turn in question.history:
        put(out, Text(f"{turn.role}: {turn.content}", "dim"))
    put(out, Text(found.original_query, "bold"))
    if found.rewritten_query != found.original_query:
        put(out, Text(f"asked as: {found.rewritten_query}", "italic"))


def show_answer(out: Console, found: Retrieved, originals: Originals) -> None:
    """Show the tiers, and the best items with the messages that they came from."""
    out.print()
    _show_tiers(out, found)
    for hit in found.items[:_TOP]:
        out.print()
        _show_hit(out, hit, [originals.quote(source) for source in hit.sources])
    if found.sufficient_at == "resource":
        best = found.resources[0]
        title = best.text.partition("\n")[0]
        out.print()
        put(out, Text(f"best segment: “{title} …” of {best.name}", "dim"), indent=2)


def show_feedback(out: Console, position: int | None) -> None:
    """Say what feedback the log has."""
    told = "was given by an earlier run" if position is None else f"is recorded at log position {position}"
    out.print()
    put(out, Text(f"the feedback “item 1 was used” {told}", "dim"), indent=2)


def _show_tiers(out: Console, found: Retrieved) -> None:
    tiers = (
        ("categories", [hit.name for hit in found.categories]),
        ("items", [hit.id[:8] for hit in found.items]),
        ("resources", [hit.name for hit in found.resources]),
    )
    for label, names in tiers:
        distinct = list(dict.fromkeys(names))
        shown = ", ".join(distinct) or ("not needed" if found.sufficient_at else "none")
        put(out, Text.assemble((f"{label:<15}", "cyan"), f"{len(distinct):>2}  ", shown), indent=2)
    put(out, Text.assemble(("sufficient_at  ", "cyan"), (found.sufficient_at or "nothing", "green")), indent=2)


def _show_hit(out: Console, hit: ItemHit, quotes: Sequence[Quote]) -> None:
    put(out, Text.assemble((f"{hit.rank}. ", "bold"), (_about(hit, quotes), "dim")), indent=2)
    statement = _one_line(hit.text)
    if all(_one_line(quote.text) != statement for quote in quotes):
        put(out, Text(statement, "bold"), indent=5)
    for quote in quotes:
        words = _one_line(quote.text)
        said = ", ".join(part for part in (quote.speaker, _moment(quote.time), quote.place) if part)
        put(out, Text(f"“{words}”", "bold" if words == statement else "italic"), indent=5)
        put(out, Text(f"— {said}", "dim"), indent=5)


def _about(hit: ItemHit, quotes: Sequence[Quote]) -> str:
    """Say what an item is; when it happened is news only if that is not the day it was said."""
    parts = [hit.kind, f"item {hit.id}"]
    said = {quote.time.date() for quote in quotes if quote.time}
    if hit.happened and hit.happened.date() not in said:
        parts.append(f"happened on {_day(hit.happened)}")
    if len(quotes) > 1:
        parts.append(f"said {len(quotes)} times, kept once")
    return ", ".join(parts)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _day(moment: datetime) -> str:
    return f"{moment:%A} {moment.day} {moment:%B %Y}"


def _moment(moment: datetime | None) -> str:
    return f"{_day(moment)} at {moment:%H:%M}" if moment else ""
