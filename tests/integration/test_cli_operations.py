"""The operators' commands, as a person and as a script use them."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from commands import MEMSTREAM, as_json, run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Memorize a message into a data directory; every command opens it by itself."""
    root = tmp_path_factory.mktemp("operations")
    chat = root / "chat.json"
    chat.write_text(json.dumps([{"role": "user", "name": "Ana", "content": "My sister Mia moved to Porto in March."}]))
    where = str(root / "data")
    run("memorize", str(chat), "--user", "ana", "--data-dir", where)
    run("files", "--user", "ana", "--data-dir", where)
    return where


def test_digest_verify_and_replay_agree(data: str) -> None:
    before = as_json("digest", "--data-dir", data)
    assert run("digest", "--data-dir", data).stdout.splitlines()[0] == before["digest"]
    verified = as_json("verify", "--data-dir", data)
    assert verified["matches"]
    assert verified["rebuilt"]["digest"] == before["digest"]
    assert "equal" in run("verify", "-u", "ana", "--data-dir", data).stdout
    assert as_json("replay", "--data-dir", data)["served"]
    assert as_json("digest", "--data-dir", data) == before


def test_generations_are_listed_rolled_back_and_dropped(data: str) -> None:
    made = as_json("replay", "--data-dir", data)["generation"]
    assert "rollback" in run("replay", "--data-dir", data).stdout
    listed = as_json("generations", "list", "--data-dir", data)
    assert [one["state"] for one in listed].count("serving") == 1
    assert made in run("generations", "rollback", made, "--data-dir", data).stdout
    assert "serving" in run("generations", "list", "--data-dir", data).stdout
    assert "served" in run("generations", "drop", made, "--data-dir", data, code=2).stderr
    run("generations", "drop", "g000099", "--data-dir", data, code=3)


def test_the_past_is_shown_and_rebuilt(data: str, tmp_path: Path) -> None:
    first = as_json("items", "-u", "ana", "--data-dir", data)[0]["made"]
    assert as_json("items", "-u", "ana", "--as-of", str(first), "--data-dir", data)
    assert as_json("items", "-u", "ana", "--as-of", str(first - 1), "--data-dir", data) == []
    made = as_json("replay", "-u", "ana", "--until", str(first), "--into", str(tmp_path / "then"), "--data-dir", data)
    assert made["position"] == first
    assert not made["served"]
    then = as_json("digest", "-u", "ana", "--as-of", str(first), "--data-dir", data)
    assert as_json("digest", "-u", "ana", "--projection", str(tmp_path / "then"), "--data-dir", data) == then


def test_mistakes_are_told_in_a_line(data: str) -> None:
    where = ("--data-dir", data)
    assert "neither a log position nor a time" in run("items", "-u", "ana", "--as-of", "lately", *where, code=2).stderr
    assert "future" in run("retrieve", "?", "-u", "ana", "--as-of", "2099-01-01", *where, code=2).stderr
    assert "before the first event" in run("digest", "--as-of", "2001-01-01", *where, code=2).stderr
    assert "--into" in run("replay", "-u", "ana", *where, code=2).stderr
    assert "parked list" in run("parked", "show", "7", *where, code=3).stderr
    assert "nothing is parked" in run("parked", "list", *where).stdout
    run("parked", "retry", *where, code=2)


def test_a_replay_that_is_stopped_goes_on_later(data: str) -> None:
    before = as_json("digest", "--data-dir", data)
    running = subprocess.Popen(
        [MEMSTREAM, "replay", "--data-dir", data], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    # Wherever it is just now: before its start, in the middle, or behind its end.
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(1.5)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=20)
    assert b"Traceback" not in errors
    assert as_json("replay", "--data-dir", data)["served"]
    assert as_json("digest", "--data-dir", data) == before
