"""The README's examples, run as they are printed."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_llm import ScriptedLLM
from thinking import Mind, statement

from memstream.events.datadir import DataDirectory
from memstream.events.server import EmbeddedServer
from memstream.services.models.profiles import profiles_of

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```(\w+)( \w+)?\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def block(language: str, label: str = "", number: int = 0) -> str:
    return [text for kind, name, text in BLOCKS if kind == language and name.strip() == label][number]


def run(command: list[str], where: Path, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "COLUMNS": "160", **environment}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=where, env=env, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_example_prints_what_its_comments_say(tmp_path: Path) -> None:
    code = block("python")
    shown = run([sys.executable, "-c", code], tmp_path)
    for line in code.splitlines():
        if "print(" in line and "#" in line and "prompt-ready" not in line:
            assert line.split("#")[1].strip() in shown


async def test_the_publisher_example_publishes(tmp_path: Path) -> None:
    with DataDirectory.claim(tmp_path / "nats") as directory:
        async with await EmbeddedServer.start(directory) as server:
            code = block("python", "publisher").replace("nats://127.0.0.1:4222", server.url)
            assert run([sys.executable, "-c", code], tmp_path).strip() == "1"


def test_the_command_line_examples_run(tmp_path: Path) -> None:
    shown = run(["bash", "-euc", block("sh", number=1)], tmp_path)
    assert "Mia moved to Porto" in shown
    assert "message m1" in shown
    assert list((tmp_path / "notes").rglob("*.md"))


def test_the_http_examples_run(tmp_path: Path) -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = str(door.getsockname()[1])
    script = block("sh", "http").replace("8377", port).replace("memstream up", f"memstream up --port {port}")
    shown = run(["bash", "-euc", f"trap 'kill %1; wait' EXIT\n{script}"], tmp_path)
    assert '"message_ids":["m1"]' in shown
    assert "items.extracted" in shown
    assert "memstream_projection_lag" in shown


CHAT = '[{"role": "user", "name": "Ana", "content": "Mia moved to Porto in March.", "id": "m1"}]'


@pytest.mark.parametrize("chapter", ["evolve", "replay", "rewind", "again", "forget"])
def test_the_examples_of_operators_run(tmp_path: Path, chapter: str) -> None:
    (tmp_path / "chat.json").write_text(CHAT)
    shown = run(["bash", "-euc", block("sh", chapter)], tmp_path)
    expected = {
        "evolve": ("recorded as event", "Nothing to try", "No steps yet", "paused"),
        "replay": ("equal", "rollback", "serving g000001"),
        "rewind": ("learned: Mia moved to Porto", "built in", "0 were new"),
        "again": ("asking in wordllama-l2-supercat@128", "would go over 1 resources", "went over 1 resources", "equal"),
        "forget": ("forgotten: item", "equal", "forgotten: user ana", "nothing is parked"),
    }
    assert all(words in shown for words in expected[chapter]), shown


def test_the_examples_with_a_language_model_run(tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text(CHAT)
    with ScriptedLLM(dimension=1536) as server:
        mind = Mind(server)
        mind.scripts["extract"] = lambda _: {"statements": [statement("Mia moved to Porto in March.", [1])]}
        shown = run(["bash", "-euc", block("sh", "models")], tmp_path, OPENAI_BASE_URL=server.url, OPENAI_API_KEY="any")
    assert f"gpt-5-mini at {server.url}: json_schema output" in shown
    assert f"text-embedding-3-small at {server.url}: 1536 dimensions" in shown
    assert "Mia moved to Porto in March." in shown
    assert "because: first" in shown
    assert {task: len(mind.calls(task)) for task in ("extract", "decide", "suffice", "read")} == {
        "extract": 1,
        "decide": 2,
        "suffice": 1,
        "read": 3,
    }
    assert "gpt-5-mini extract-1 would read about 0 tokens of 0 resources (1 were done already)" in shown


def test_the_example_of_a_models_file_names_a_model_for_each_task(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(block("toml", "models"))
    profiles = profiles_of({}, tmp_path / "models.toml")
    assert {task: profile.model for task, profile in profiles.items()} == {
        "extract": "gpt-5-nano",
        "summarize": "gpt-5-nano",
        "judge": "deepseek-chat",
        "rank": "gpt-5-nano",
        "embed": "nomic-embed-text",
    }


def test_the_example_of_the_wrapper_answers(tmp_path: Path) -> None:
    with ScriptedLLM() as server:
        server.answer("In Porto.")
        code = block("python", "wrapper")
        shown = run([sys.executable, "-c", code], tmp_path, OPENAI_BASE_URL=server.url, OPENAI_API_KEY="any")
    assert shown.strip() == "In Porto."


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_are_targets_of_the_makefile(target: str) -> None:
    assert f"make {target}" in block("sh")
    assert f"\n{target}: setup" in README.with_name("Makefile").read_text()


def test_every_shell_example_is_run_or_says_that_it_is_not() -> None:
    labels = [name.strip() for kind, name, _ in BLOCKS if kind == "sh"]
    assert labels == ["", "", "http", "models", "evolve", "skip", "replay", "rewind", "again", "forget"]
