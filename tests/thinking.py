"""A memory that thinks with a scripted model: answers by task, told apart by their prompts."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from scripted_llm import Request, ScriptedLLM
from scripted_llm.answers import Scripted, text_of

from memstream import AsyncMemory
from memstream.services.models import prompts
from memstream.services.settings import Settings

TASKS = {
    "extract": prompts.EXTRACT,
    "reconcile": prompts.RECONCILE,
    "summarize": prompts.SUMMARIZE,
    "decide": prompts.DECIDE,
    "suffice": prompts.SUFFICE,
    "read": prompts.READ,
    "describe": prompts.DESCRIBE,
}
Said = Callable[[str], Scripted]
_LINE = re.compile(r"^(\d+) (?:([^:\n]+): )?(.*)$", re.MULTILINE)


def task_of(request: Request) -> str:
    """Return which task a request is for, by its system prompt."""
    if request.path.endswith("transcriptions"):
        return "transcribe"
    system = text_of(request.messages[0])
    return next((task for task, version in TASKS.items() if prompts.prompt(version) == system), "other")


def asked_of(request: Request) -> str:
    """Return what the model is asked: the first message of the user; of a recording its name."""
    return str(request.body["name"]) if request.path.endswith("transcriptions") else text_of(request.messages[1])


class Mind:
    """A scripted model: each task has its script, by default the dullest useful answer; ``calls`` are counted."""

    def __init__(self, server: ScriptedLLM) -> None:
        self.server = server
        self.scripts: dict[str, Said] = {
            "extract": verbatim,
            "reconcile": lambda _: {"pairs": []},
            "summarize": every_statement,
            "decide": lambda text: {"needs_memory": True, "query": text.rsplit("Question: ", 1)[1]},
            "suffice": lambda _: {"sufficient": True, "next_query": ""},
            "read": lambda _: {"relevant": [{"number": 1, "reason": "first"}], "sufficient": False, "next_query": "x"},
            "describe": lambda name: f"The image {name} shows nothing in particular.",
            "transcribe": lambda name: f"Nobody speaks in {name} for long.",
            # What "memstream doctor" asks.
            "other": lambda _: {"sum": 5},
        }
        server.answer(lambda request: self.scripts[task_of(request)](asked_of(request)))

    def calls(self, *tasks: str) -> list[Request]:
        """Return the requests of some tasks; of all without any."""
        return [one for one in self.server.asked("chat/completions") if not tasks or task_of(one) in tasks]


def statement(text: str, sources: Sequence[int], **more: Any) -> dict[str, Any]:
    """Return a statement as a model gives it."""
    plain = {"kind": "event", "happened": "", "categories": ["experiences"], "importance": 3}
    return {"text": text, "sources": list(sources), **plain, **more}


def lines_of(text: str) -> list[tuple[int, str, str]]:
    """Return number, speaker and words of each line of a transcript."""
    return [(int(number), speaker, words) for number, speaker, words in _LINE.findall(text)]


def verbatim(text: str) -> Mapping[str, Any]:
    """State every line that is long enough, with its speaker."""
    long = [line for line in lines_of(text) if len(line[2].split()) > 3]
    return {"statements": [statement(f"{who} said: {words}", [number]) for number, who, words in long]}


def every_statement(text: str) -> Mapping[str, Any]:
    """Add a line for each new statement of each page."""
    changes: list[dict[str, Any]] = []
    for page in re.split(r"^(?=Page \d+:)", text, flags=re.MULTILINE)[1:]:
        number = int(page.split(":", 1)[0].removeprefix("Page "))
        new = page.rsplit("new:\n", 1)[-1]
        for cited, words in re.findall(r"^(\d+) (.*)$", new, flags=re.MULTILINE):
            changes.append(
                {
                    "page": number,
                    "op": "add",
                    "line": 0,
                    "text": f"It is known: {words}",
                    "cites": [int(cited)],
                    "reason": "",
                }
            )
    return {"changes": changes}


@asynccontextmanager
async def thinking_memory(root: Path, server: ScriptedLLM, **settings: Any) -> AsyncIterator[AsyncMemory]:
    """Open a memory that asks a scripted server."""
    file = root / "models.toml"
    root.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'[profiles.scripted]\nmodel = "scripted"\nbase_url = "{server.url}"\napi_key = "any"\nretries = 1\ntimeout = 20\n'
    )
    told = Settings(models_file=file, **settings)
    async with await AsyncMemory.open(root / "memory", settings=told) as memory:
        yield memory
