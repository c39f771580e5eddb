"""Evolution: does memory get cheaper to read by being used? Judged on questions that evolution has never seen.

For each conversation: memorize with the local models, ask every even-numbered question, say which of the returned items
hold its evidence (and what was missing), evolve until nothing more is accepted, then ask the odd-numbered questions.
Everything goes through the public interface with real events; what was missing is said in the words of its messages.
The reading cost to the evidence is measured here from what a user sees, walking the directory, files and items as a
reader would: see ``evolution/objective.py`` for the formula.

Baselines are k-means over the items' vectors (the best of several numbers of clusters) and a category for each session,
with files like those of the product and ranked like its categories. Controls evolve from shuffled feedback, from
feedback that is wrong for a fifth of the questions, by a random policy without trials, and are offered 200 harmful
proposals. Differences come with 95 % paired bootstrap intervals.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from corpora import Conversation, Query
from evidence import corpora_of, embedder_of, evidence_arguments
from kinds import Ablated, ablation_of
from measure import positive, print_json, print_table
from planted import planted_share
from reading import Page, Read, measured, read_pages
from recall import Behind, memorize
from structures import Baselines, baselines_of

from memstream import AsyncMemory, AsyncUser
from memstream.evolution.policy import policy_named
from memstream.services.evolving_requests import Evolve, Evolved, GetEvolution
from memstream.services.protocols import Embedder

_TIMEOUT = 900.0
_APART = "adversarial"
_DRAWS = 2_000
_WRONG_SHARE = 0.2
_CONTROLS = ("shuffled", "wrong_fifth", "random_policy")
_RUNS = 5
_FIGURES = (
    *("reading_cost", "within_quarter", "file_suffices", "files_suffice", "hit@1", "hit@3", "mrr"),
    *("recall@10", "categories", "tokens_per_file"),
)

_ABLATED = ("reading_cost", "within_quarter", "file_suffices", "files_suffice", "hit@1", "mrr", "categories")


class Outcome(NamedTuple):
    """One way to evolve one conversation: what the odd half reads before and after, and what was tried."""

    before: list[Read]
    after: list[Read]
    accepted: Counter[str]
    rejected: Counter[str]
    pages: tuple[int, int]
    tokens: tuple[float, float]
    ablated: dict[str, Ablated]


class Control(NamedTuple):
    """How feedback is given: ``evolved`` tells the truth; and what is drawn for that."""

    kind: str
    chance: random.Random


async def ask(user: AsyncUser, query: Query, behind: Behind, pages: dict[str, Page]) -> Read:
    """Ask one question of every tier, and read memory in the order that the answer gives until the evidence is reached."""
    answer = await user.retrieve(query.text, top_k=100, exhaustive=True)
    held = {item for item, messages in behind.items() if messages & query.evidence}
    found = frozenset[str]().union(*(behind[hit.id] for hit in answer.items[:10]))
    recall = len(found & query.evidence) / len(query.evidence)
    return measured([hit.id for hit in answer.categories], pages, held)._replace(recall=recall)


async def give_feedback(
    user: AsyncUser, conversation: Conversation, queries: Sequence[Query], behind: Behind, control: Control
) -> None:
    """Ask the even half and say what was used and what was missing, truly or as the control wants it."""
    kind, chance = control
    words = {one["id"]: " ".join(str(one["content"]).split()) for part in conversation.parts for one in part}
    answers = [await user.retrieve(query.text, exhaustive=True) for query in queries]
    order = list(range(len(queries)))
    if kind == "shuffled":
        chance.shuffle(order)
    for place, answer in enumerate(answers):
        told = queries[order[place]].evidence
        served = [hit.id for hit in answer.items]
        used = [item for item in served if behind[item] & told]
        if kind == "shuffled":
            # What is claimed to be used has nothing to do with the question: any of the hits, as many as were.
            wanted = sum(1 for item in served if behind[item] & queries[place].evidence)
            used = chance.sample(served, min(len(served), wanted))
        if kind == "wrong_fifth" and chance.random() < _WRONG_SHARE and served:
            used = [chance.choice([item for item in served if item not in used] or served)]
        missing = sorted(queries[place].evidence - frozenset[str]().union(*(behind[item] for item in used)))
        if used or missing:
            told_missing = "\n".join(words[one] for one in missing) or None
            await user.feedback(answer.retrieval_id, used=used, missing=told_missing)


async def evolve(memory: AsyncMemory, user: AsyncUser, policy: str) -> tuple[Counter[str], Counter[str]]:
    """Run until nothing more is accepted; return the steps accepted and rejected by kind."""
    accepted, rejected = Counter[str](), Counter[str]()
    for _ in range(_RUNS):
        done: Evolved = await memory.operate(Evolve(user=user.scope.user, policy=policy, dry_run=False))
        accepted.update(one.kind for one in done.steps if one.accepted)
        rejected.update(one.kind for one in done.steps if not one.accepted)
        if policy == "random" or not any(one.accepted for one in done.steps):
            break
    await user.settle(timeout=_TIMEOUT)
    return accepted, rejected


async def experiment(
    memory: AsyncMemory, conversation: Conversation, kind: str, options: argparse.Namespace
) -> tuple[Outcome, Baselines | None]:
    """Memorize, use and evolve one conversation as a user of its own."""
    user = memory.user(f"{conversation.id}/{kind}")
    behind = await memorize(user, conversation)
    queries = [one for one in conversation.queries if one.kind != _APART and one.evidence]
    even, odd = queries[::2], [one for one in queries[1::2] if any(one.evidence & said for said in behind.values())]
    pages = await read_pages(user)
    before = [await ask(user, query, behind, pages) for query in odd]
    control = Control(kind, random.Random(f"{options.seed} {conversation.id} {kind}"))
    await give_feedback(user, conversation, even, behind, control)
    ablated = await ablation_of(memory, user, odd, behind) if options.ablation and kind == "evolved" else {}
    accepted, rejected = await evolve(memory, user, "random" if kind == "random_policy" else "default")
    later = await read_pages(user)
    after = [await ask(user, query, behind, later) for query in odd]
    outcome = Outcome(
        before,
        after,
        accepted,
        rejected,
        (len(pages), len(later)),
        (_file_tokens(pages), _file_tokens(later)),
        ablated,
    )
    return outcome, await baselines_of(memory, user, odd, behind) if kind == "evolved" else None


def _file_tokens(pages: dict[str, Page]) -> float:
    return float(np.mean([page.file for page in pages.values()])) if pages else 0.0


def summary(reads: Sequence[Read], categories: float, tokens: float) -> dict[str, float]:
    """Return the means of what a number of questions read, shares in percent."""
    cost = np.asarray([one.cost for one in reads])
    first = np.asarray([one.first for one in reads])

    def share(values: Any) -> float:
        return round(100 * float(np.mean(values)), 2)

    return {
        "reading_cost": round(float(cost.mean()), 4),
        "within_quarter": share(cost <= 0.25),
        "file_suffices": share([one.first_file for one in reads]),
        "files_suffice": share([one.files for one in reads]),
        "hit@1": share(first == 1),
        "hit@3": share(first <= 3),
        "mrr": round(float((1 / first).mean()), 4),
        "recall@10": share([one.recall for one in reads]),
        "categories": round(categories, 1),
        "tokens_per_file": round(tokens, 1),
    }


def interval(differences: Sequence[float], seed: int) -> list[float]:
    """Return the 95 % paired bootstrap interval of a mean difference."""
    chance, held = np.random.default_rng(seed), np.asarray(differences)
    drawn = held[chance.integers(0, len(held), (_DRAWS, len(held)))].mean(axis=1)
    return [round(float(bound), 4) for bound in np.percentile(drawn, (2.5, 97.5))]


async def measure(
    conversations: Sequence[Conversation], embedder: Embedder, options: argparse.Namespace
) -> dict[str, Any]:
    """Run the experiment and its controls over all conversations."""
    outcomes: dict[str, list[Outcome]] = {}
    baselines: dict[str, list[Read]] = {}
    planted: list[bool] = []
    for conversation in conversations:
        kinds = ("evolved", *(() if options.no_controls else _CONTROLS))
        for kind in kinds:
            started = time.perf_counter()
            with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
                async with await AsyncMemory.open(root, embedder=embedder) as memory:
                    outcome, rest = await experiment(memory, conversation, kind, options)
                    if rest is not None:
                        name = f"{conversation.id}/{kind}"
                        planted += await planted_share(memory, name, rest.asked, len(conversations), options.seed)
                        await _keep_history(memory, f"{conversation.id}/{kind}", options.history)
            outcomes.setdefault(kind, []).append(outcome)
            for name, reads in rest.reads.items() if rest is not None else ():
                baselines.setdefault(name, []).extend(reads)
            if not options.json:
                print(
                    f"{conversation.id} {kind}: {dict(outcome.accepted)} accepted, {time.perf_counter() - started:.0f} s"
                )
    return report(outcomes, baselines, planted, options.seed)


async def _keep_history(memory: AsyncMemory, user: str, path: Path | None) -> None:
    if path is not None:
        found = await memory.operate(GetEvolution(user=user))
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{user.replace('/', '-')}.json").write_text(found.model_dump_json(indent=1), "utf-8")


def report(
    outcomes: dict[str, list[Outcome]], baselines: dict[str, list[Read]], planted: list[bool], seed: int
) -> dict[str, Any]:
    """Return every figure, with the keys of the bars first."""
    rows: dict[str, dict[str, float]] = {}
    for kind, found in outcomes.items():
        if kind == "evolved":
            rows["before"] = _row(found, 0)
        rows[kind] = _row(found, 1)
    rows |= {name: summary(reads, reads[0].categories, 0.0) for name, reads in baselines.items()}
    true = outcomes["evolved"]
    before, after = ([read for one in true for read in one[place]] for place in (0, 1))
    return {
        **_bars(true, rows),
        "harmful_accepted_pct": round(100 * float(np.mean(planted)), 2) if planted else 0.0,
        "harmful_planted": len(planted),
        "questions": len(before),
        "intervals": _intervals(before, after, baselines, seed),
        "rows": rows,
        "ablation": _ablation(true),
        "worst_recall10_delta": min(
            round(100 * (_mean(one.after, "recall") - _mean(one.before, "recall")), 2) for one in true
        ),
        "worst_shuffled_delta": _worst(outcomes.get("shuffled", [])),
    }


def _ablation(true: list[Outcome]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name in true[0].ablated:
        reads = [read for one in true for read in one.ablated[name].reads]
        accepted = sum((one.ablated[name].accepted for one in true), Counter[str]())
        found[name] = summary(reads, float(np.mean([one.categories for one in reads])), 0.0) | {"steps": dict(accepted)}
    return found


def _bars(true: list[Outcome], rows: dict[str, dict[str, float]]) -> dict[str, Any]:
    before, after = rows["before"], rows["evolved"]
    return {
        "reading_cost_before": before["reading_cost"],
        "reading_cost_after": after["reading_cost"],
        "reading_cost_ratio": round(after["reading_cost"] / before["reading_cost"], 4),
        "within_quarter_delta": round(after["within_quarter"] - before["within_quarter"], 2),
        "file_suffices_before": before["file_suffices"],
        "file_suffices_after": after["file_suffices"],
        "item_recall10_delta": round(after["recall@10"] - before["recall@10"], 2),
        "accepted": dict(sum((one.accepted for one in true), Counter[str]())),
        "rejected": dict(sum((one.rejected for one in true), Counter[str]())),
    }


def _row(found: list[Outcome], place: int) -> dict[str, float]:
    reads = [read for one in found for read in one[place]]
    return summary(
        reads, float(np.mean([one.pages[place] for one in found])), float(np.mean([one.tokens[place] for one in found]))
    )


def _intervals(
    before: Sequence[Read], after: Sequence[Read], baselines: dict[str, list[Read]], seed: int
) -> dict[str, list[float]]:
    pairs = list(zip(before, after, strict=True))
    found = {
        "reading_cost": interval([new.cost - old.cost for old, new in pairs], seed),
        "within_quarter": interval([100.0 * ((new.cost <= 0.25) - (old.cost <= 0.25)) for old, new in pairs], seed),
        "file_suffices": interval([100.0 * (new.first_file - old.first_file) for old, new in pairs], seed),
        "recall@10": interval([100.0 * (new.recall - old.recall) for old, new in pairs], seed),
    }
    for name, reads in baselines.items():
        found[f"reading_cost against {name}"] = interval(
            [new.cost - old.cost for old, new in zip(reads, after, strict=True)], seed
        )
    return found


def _mean(reads: Sequence[Read], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in reads]))


def _worst(found: list[Outcome]) -> dict[str, float]:
    """Return by how much shuffled feedback made a bar worse than untouched memory (points; negative: it got better)."""
    if not found:
        return {}
    old, new = _row(found, 0), _row(found, 1)
    return {
        "reading_cost": round(100 * (new["reading_cost"] - old["reading_cost"]), 2),
        **{name: round(old[name] - new[name], 2) for name in ("within_quarter", "file_suffices", "recall@10")},
    }


def show(result: dict[str, Any]) -> None:
    """Print a line for each structure."""
    lines = [[name, *(f"{row[figure]:g}" for figure in _FIGURES)] for name, row in result["rows"].items()]
    print_table(f"{result['questions']} odd questions; shares in percent", ["structure", *_FIGURES], lines)
    if result["ablation"]:
        lines = [
            [name, *(f"{row[one]:g}" for one in _ABLATED), json.dumps(row["steps"])]
            for name, row in result["ablation"].items()
        ]
        print_table("kinds of proposals", ["kinds", *_ABLATED, "steps"], lines)
    print(f"accepted {result['accepted']}, rejected {result['rejected']}")
    print(f"95 % intervals of the differences: {json.dumps(result['intervals'])}")
    print(f"harmful proposals accepted: {result['harmful_accepted_pct']} % of {result['harmful_planted']}")
    print(f"shuffled feedback, points worse: {result['worst_shuffled_delta']}")


def main() -> None:
    """Read the options, measure, report."""
    examples = [
        "python tests/benchmarks/evolution.py --locomo locomo.json",
        "python tests/benchmarks/evolution.py --locomo locomo.json --embedder bge-small --limit 2 --no-controls",
    ]
    parser = evidence_arguments(__doc__ or "", examples, required=False)
    parser.add_argument("--seed", type=int, default=6, help="of everything that is drawn (default 6)")
    parser.add_argument("--limit", type=positive, help="conversations to take from the start (default: all)")
    parser.add_argument("--no-controls", action="store_true", help="leave the controls out")
    parser.add_argument(
        "--ablation", action="store_true", help="also evolve by each kind of proposal alone, and without each"
    )
    parser.add_argument("--history", type=Path, help="write each conversation's evolution as JSON into this directory")
    options = parser.parse_args()
    if not (options.locomo or options.beam):
        parser.error("name --locomo or --beam")
    policy_named("default")
    conversations = [one for found in corpora_of(options).values() for one in found][: options.limit]
    result = asyncio.run(measure(conversations, embedder_of(options), options))
    if not options.json:
        show(result)
    print_json(result)


if __name__ == "__main__":
    main()
