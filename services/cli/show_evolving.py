"""How evolution looks in a terminal: trials in lines, the genealogy of categories as trees."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from memstream.evolution.history import History, Passage, PastStep, Theme
from memstream.services.evolving_requests import Compared, Configured, Evolved, Figures, Reverted, TriedStep

_BRANCHES = 8
_SHORT_ID = 8


def show_evolved(out: Console, found: Evolved) -> None:
    """Print what was tried, and the reading cost before and after."""
    if not found.steps:
        out.print(
            f"Nothing to try: {found.before.retrievals} newer retrievals say what was used. "
            "Ask, give feedback, and come back."
        )
        return
    for one in found.steps:
        _show_tried(out, one)
    kept = sum(1 for one in found.steps if one.accepted)
    what = "would be taken (dry run; --apply takes them)" if found.dry_run else "taken"
    out.print(f"{kept} of {len(found.steps)} steps {what}, policy {found.policy}, {found.seconds:.1f} s")
    out.print(f"reading cost {_change(found.before, found.after)}", style="bold")


def _show_tried(out: Console, one: TriedStep) -> None:
    mark = "[green]accepted[/]" if one.accepted else "[yellow]rejected[/]"
    out.print(f"{mark}  {one.kind}  {one.step_id[:_SHORT_ID]}")
    out.print(f"  {one.proposal}", markup=False)
    out.print(
        f"  {one.retrievals} newer retrievals: {one.before:.4f} → {one.after:.4f}, "
        f"95 % of {one.interval[0]:+.4f} to {one.interval[1]:+.4f} less; {one.reason}",
        style="dim",
        markup=False,
    )


def _change(before: Figures, after: Figures) -> str:
    return (
        f"{before.reading_cost:.3f} → {after.reading_cost:.3f}, the first file suffices for "
        f"{before.file_suffices:.0%} → {after.file_suffices:.0%}, categories {before.categories} → {after.categories}"
    )


def show_history(out: Console, found: History) -> None:
    """Draw each step as a tree: the categories that statements left, and those that they came into."""
    state = "paused" if found.paused else f"policy {found.policy}"
    if not found.steps:
        out.print(f"No steps yet ({state}). Try some: memstream evolve propose")
        return
    names = {one.id: one for one in found.categories}
    for step in found.steps:
        out.print(_tree(step, names))
    kept = [one for one in found.steps if one.accepted]
    undone = sum(1 for one in kept if one.reverted is not None)
    out.print(f"{len(kept)} steps taken, {undone} undone, {len(found.steps) - len(kept)} rejected shown; {state}")


def _tree(step: PastStep, names: Mapping[str, Theme]) -> Tree:
    undone = f" [red](undone at {step.reverted})[/]" if step.reverted is not None else ""
    verdict = "" if step.accepted else " [yellow](rejected)[/]"
    tree = Tree(
        f"[bold]@{step.position} {step.kind}[/] {step.step_id[:_SHORT_ID]}  "
        f"reading cost {step.before:.3f} → {step.after:.3f}{verdict}{undone}"
    )
    for source, passages in _by_source(step.passages).items():
        branch = tree.add(_name(source, names))
        for passage in passages[:_BRANCHES]:
            branch.add(f"{_name(passage.target, names)} [dim]({passage.items} items)[/]")
        if len(passages) > _BRANCHES:
            rest = passages[_BRANCHES:]
            branch.add(f"[dim]… {len(rest)} more categories ({sum(one.items for one in rest)} items)[/]")
    for one in step.summarized if not step.passages else ():
        tree.add(f"{_name(one, names)} [dim](file written again)[/]")
    return tree


def _by_source(passages: Sequence[Passage]) -> dict[str | None, list[Passage]]:
    found: dict[str | None, list[Passage]] = {}
    for one in passages:
        found.setdefault(one.source, []).append(one)
    return found


def _name(identifier: str | None, names: Mapping[str, Theme]) -> str:
    if identifier is None:
        return "[dim](beside other categories)[/]"
    theme = names.get(identifier)
    if theme is None:
        return identifier[:_SHORT_ID]
    escaped = theme.name.replace("[", r"\[")
    return escaped if theme.live else f"[strike]{escaped}[/]"


def show_step(out: Console, found: PastStep, everything: History) -> None:
    """Print one step whole."""
    out.print(found.proposal, markup=False)
    out.print(
        f"{found.retrievals} retrievals: {found.before:.4f} → {found.after:.4f}, interval of the improvement "
        f"{found.interval[0]:+.4f} to {found.interval[1]:+.4f}; {found.reason}",
        style="dim",
        markup=False,
    )
    out.print(_tree(found, {one.id: one for one in everything.categories}))


def show_reverted(out: Console, found: Reverted) -> None:
    """Print what was undone."""
    out.print(
        f"step {found.step_id} is undone at position {found.position}: {found.moved} statements moved back, "
        f"{found.closed} categories closed, {found.reopened} opened again"
    )
    out.print(f"structure {found.structure}", style="dim")


def show_configured(out: Console, found: Configured) -> None:
    """Print the policies, the one in use marked."""
    for one in found.known:
        mark = "[green]*[/]" if one.name == found.policy else " "
        out.print(f"{mark} {one.name:<10} {one.description}")
    out.print("paused: nothing evolves by itself or with 'run --apply'" if found.paused else "not paused", style="dim")


def show_compared(out: Console, found: Sequence[Compared]) -> None:
    """Print a line for each policy."""
    table = Table("policy", "reading cost", "within ¼", "file suffices", "hit@1", "recall", "categories", "steps")
    for one in found:
        figures = one.figures
        steps = f"{sum(one.accepted.values())} taken, {sum(one.rejected.values())} rejected"
        shares = (figures.within_quarter, figures.file_suffices, figures.category_hit1, figures.recall)
        table.add_row(
            one.policy,
            f"{figures.reading_cost:.3f}",
            *(f"{share:.0%}" for share in shares),
            str(figures.categories),
            steps,
        )
    out.print(table)
