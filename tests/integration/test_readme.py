"""The README's examples, run as they are printed."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memstream.events.datadir import DataDirectory
from memstream.events.server import EmbeddedServer

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


@pytest.mark.parametrize("chapter", ["replay", "rewind", "again", "forget"])
def test_the_examples_of_operators_run(tmp_path: Path, chapter: str) -> None:
    (tmp_path / "chat.json").write_text(CHAT)
    shown = run(["bash", "-euc", block("sh", chapter)], tmp_path)
    expected = {
        "replay": ("equal", "rollback", "serving g000001"),
        "rewind": ("learned: Mia moved to Porto", "built in", "0 were new"),
        "again": ("asking in wordllama-l2-supercat@128", "would go over 1 resources", "went over 1 resources", "equal"),
        "forget": ("forgotten: item", "equal", "forgotten: user ana", "nothing is parked"),
    }
    assert all(words in shown for words in expected[chapter]), shown


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_are_targets_of_the_makefile(target: str) -> None:
    assert f"make {target}" in block("sh")
    assert f"\n{target}: setup" in README.with_name("Makefile").read_text()


def test_every_shell_example_is_run_or_says_that_it_is_not() -> None:
    labels = [name.strip() for kind, name, _ in BLOCKS if kind == "sh"]
    assert labels == ["", "", "http", "skip", "replay", "rewind", "again", "forget"]
