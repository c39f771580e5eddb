"""Language models: what a conversation costs in calls and tokens, what it finds, and how workers scale.

The model is a scripted server: it answers each transcript with the data's ready-made facts of its lines, and writes a
line for each new statement of a category. ``calls_per_session`` counts all calls, repairs too; ``overhead_pct`` is the
share of all tokens sent (instructions, schemas, numbering) that is not the transcript's, statements' or files' own
words; ``recall_gap`` the points by which recall@10 lies below that of the same facts without a model (``--facts`` of
recall.py). ``speedup`` compares eight extraction workers with one against a server that takes 500 ms for an answer.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpora import Conversation, locomo
from measure import Bar, arguments, peak_rss_mb, positive, report
from readymade import FactExtractor
from recall import ask, memorize
from scripted_llm import Request, ScriptedLLM
from scripted_llm.tokens import count
from thinking import Mind, asked_of, lines_of, statement, task_of

from memstream import AsyncMemory
from memstream.services.settings import Settings

_BARS = (
    Bar("calls_per_session", "most", 2.5),
    Bar("overhead_pct", "most", 35),
    Bar("turns_in_prompts_pct", "least", 100),
    Bar("recall_gap", "most", 1),
    Bar("llm_calls_most", "most", 4),
    Bar("llm_prompt_tokens_most", "most", 10_000),
    Bar("speedup", "least", 6),
)
_LATENCY = 0.5
_TIMEOUT = 900.0


class Facts:
    """Answers a transcript with the facts whose evidence stands in it."""

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        self._ids = {
            (message["name"], _plain(message["content"]), conversation.id): message["id"]
            for conversation in conversations
            for part in conversation.parts
            for message in part
        }
        self._facts = {conversation.id: conversation.facts for conversation in conversations}
        self.seen: set[tuple[str, str]] = set()

    def answer(self, conversation: str) -> Callable[[str], Mapping[str, Any]]:
        """Return the script for one conversation."""

        def script(text: str) -> Mapping[str, Any]:
            numbers = {
                self._ids[speaker, words, conversation]: number
                for number, speaker, words in lines_of(text)
                if (speaker, words, conversation) in self._ids
            }
            self.seen |= {(conversation, one) for one in numbers}
            return {
                "statements": [
                    statement(fact.text, [numbers[one] for one in fact.evidence if one in numbers], categories=[])
                    for fact in self._facts[conversation]
                    if any(one in numbers for one in fact.evidence)
                ]
            }

        return script


def _plain(text: str) -> str:
    return " ".join(text.split())


def sent(request: Request) -> tuple[int, int]:
    """Return the tokens of a request, and those among them that are the material's own words."""
    schema = request.body.get("response_format", {}).get("json_schema", {}).get("schema")
    total = count(request.text) + (count(str(schema)) if schema else 0)
    text = asked_of(request)
    own = {
        "extract": lambda: "\n".join(f"{who}: {words}" for _, who, words in lines_of(text)),
        "reconcile": lambda: "\n".join(line.split(": ", 1)[-1] for line in text.splitlines()),
        "summarize": lambda: "\n".join(re.findall(r"^L?\d+ (.*)$", text, flags=re.MULTILINE)),
    }
    return total, count(own[task_of(request)]()) if task_of(request) in own else 0


def settings(root: Path, url: str, **more: Any) -> Settings:
    """Return settings that name the scripted server for everything."""
    file = root / "models.toml"
    file.write_text(f'[profiles.scripted]\nmodel = "scripted"\nbase_url = "{url}"\napi_key = "any"\n')
    return Settings(models_file=file, **more)


async def economy(conversations: Sequence[Conversation]) -> dict[str, float]:
    """Memorize conversations with the model, and ask; then the same with the facts alone."""
    facts, figures = Facts(conversations), dict[str, float]()
    with ScriptedLLM() as server, tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        mind = Mind(server)
        async with await AsyncMemory.open(Path(root) / "m", settings=settings(Path(root), server.url)) as memory:
            recalls: list[float] = []
            for conversation in conversations:
                mind.scripts["extract"] = facts.answer(conversation.id)
                user = memory.user(conversation.id)
                behind = await memorize(user, conversation)
                recalls += await _recalls(user, conversation, behind)
        memorizing = mind.calls("extract", "reconcile", "summarize")
        counted = [sent(request) for request in memorizing]
        sessions = sum(len(conversation.parts) for conversation in conversations)
        turns = sum(len(part) for conversation in conversations for part in conversation.parts)
        figures["calls_per_session"] = len(memorizing) / sessions
        figures |= {
            f"{task}_per_session": len(mind.calls(task)) / sessions for task in ("extract", "reconcile", "summarize")
        }
        figures["overhead_pct"] = 100 * (1 - sum(own for _, own in counted) / sum(total for total, _ in counted))
        extracting = [sent(request) for request in mind.calls("extract")]
        figures["extract_overhead_pct"] = 100 * (
            1 - sum(own for _, own in extracting) / sum(all_ for all_, _ in extracting)
        )
        figures["turns_in_prompts_pct"] = 100 * len(facts.seen) / turns
        figures["tokens_per_session"] = sum(total for total, _ in counted) / sessions
        figures["recall10_model"] = 100 * fmean(recalls)
    return figures


async def _recalls(user: Any, conversation: Conversation, behind: Any) -> list[float]:
    user = _Searching(user)
    found = [await ask(user, query, behind) for query in conversation.queries]
    return [one.figures["recall@10"] for one in found if one.figures and one.kind != "adversarial"]


class _Searching:
    """A user who asks without the model, so that what is compared is memory alone."""

    def __init__(self, user: Any) -> None:
        self._user = user

    async def retrieve(self, query: str, **options: Any) -> Any:
        """Ask by search."""
        return await self._user.retrieve(query, use_model=False, **options)


async def without_model(conversations: Sequence[Conversation]) -> float:
    """Return recall@10, in percent, of the same facts given by an extractor."""
    from memstream.services.local.embedder import WordLlamaEmbedder

    embedder = WordLlamaEmbedder()
    extractor = FactExtractor(embedder, {one.id: one.facts for one in conversations})
    recalls: list[float] = []
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        async with await AsyncMemory.open(root, embedder=embedder, extractor=extractor) as memory:
            for conversation in conversations:
                user = memory.user(conversation.id)
                recalls += await _recalls(user, conversation, await memorize(user, conversation))
    return 100 * fmean(recalls)


async def reading(items: int) -> dict[str, float]:
    """Ask a memory of many items by reading, and return the most calls and the longest prompt."""
    with ScriptedLLM() as server, tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        mind = Mind(server)
        mind.scripts["extract"] = lambda _: {"statements": []}
        async with await AsyncMemory.open(Path(root) / "m", settings=settings(Path(root), server.url)) as memory:
            user = memory.user("ana")
            for start in range(0, items, 1_000):
                said = [
                    {
                        "role": "user",
                        "name": "Ana",
                        "content": f"On day {n} I saw bird number {n} near lake {n % 97} at dawn.",
                    }
                    for n in range(start, min(items, start + 1_000))
                ]
                await user.memorize(said, timeout=_TIMEOUT)
            await user.settle(timeout=_TIMEOUT)
            held = (await user.counts()).items
            mind.server.forget()
            found = await user.retrieve("Near which lake did Ana see bird number 777?", method="llm")
        longest = max(sent(request)[0] for request in mind.calls())
        return {
            "llm_items": float(held),
            "llm_calls_most": float(len(mind.calls())),
            "llm_prompt_tokens_most": float(longest),
            "llm_unread": float(found.unread.get("item", 0)),
        }


async def throughput(workers: int, resources: int) -> float:
    """Return resources a second with so many extraction workers and a server that takes its time."""
    with ScriptedLLM(latency=_LATENCY) as server, tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        Mind(server)
        told = settings(Path(root), server.url, extraction_concurrency=workers)
        async with await AsyncMemory.open(Path(root) / "m", settings=told) as memory:
            users = [memory.user(f"user{number}") for number in range(resources)]
            started = time.perf_counter()
            await asyncio.gather(
                *(
                    user.memorize(
                        [{"role": "user", "content": f"I planted tree number {n} in my garden."}], timeout=_TIMEOUT
                    )
                    for n, user in enumerate(users)
                )
            )
            return resources / (time.perf_counter() - started)


async def measure(options: argparse.Namespace) -> dict[str, float]:
    """Measure all of it."""
    conversations = locomo(options.locomo)[: options.limit]
    figures = await economy(conversations)
    figures["recall10_facts"] = await without_model(conversations)
    figures["recall_gap"] = figures["recall10_facts"] - figures["recall10_model"]
    figures |= await reading(options.items)
    one, eight = await throughput(1, options.resources), await throughput(8, options.resources)
    return figures | {"speedup": eight / one, "workers8_per_s": eight, "peak_rss_mb": peak_rss_mb()}


def main() -> None:
    """Read the options, measure, report."""
    examples = [
        "python tests/benchmarks/models.py --locomo locomo.json",
        "python tests/benchmarks/models.py --locomo locomo.json --limit 1 --json",
    ]
    parser = arguments(__doc__ or "", examples)
    parser.add_argument(
        "--locomo", type=Path, required=True, help="LoCoMo conversations with evidence and facts (JSON)"
    )
    parser.add_argument("--limit", type=positive, help="conversations to take (default: all)")
    parser.add_argument(
        "--items", type=positive, default=10_000, help="items of the memory that is read (default 10,000)"
    )
    parser.add_argument("--resources", type=positive, default=96, help="resources that the workers share (default 96)")
    options = parser.parse_args()
    figures = asyncio.run(measure(options))
    report("Language models", {name: round(value, 3) for name, value in figures.items()}, _BARS, as_json=options.json)


if __name__ == "__main__":
    main()
