"""The command line, as a person and as a script use it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import MEMSTREAM, as_json, run
from waiting import until_now


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run `memstream up` on a data directory; the commands find it by themselves."""
    data = tmp_path_factory.mktemp("cli") / "data"
    process = subprocess.Popen(
        [MEMSTREAM, "up", "--data-dir", str(data), "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["ready"]
    yield str(data)
    process.terminate()
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "chat.json"
    messages = [
        {"role": "user", "name": "Ana", "content": "On weekends I usually go climbing.", "id": "m-1"},
        {"role": "user", "name": "Ana", "content": "My sister Mia moved to Porto in March.", "id": "m-2"},
    ]
    path.write_text(json.dumps(messages))
    return path


def test_a_session_from_memorize_to_feedback(service: str, chat: Path) -> None:
    where = ("--user", "ana", "--data-dir", service)
    done = as_json("memorize", str(chat), *where)[0]
    assert done["resource"]["status"] == "ready"
    found = as_json("retrieve", "Where does Mia live?", *where)
    assert found["items"][0]["sources"][0]["message_ids"] == ["m-2"]
    receipt = as_json("feedback", found["retrieval_id"], "--used", found["items"][0]["id"], *where)
    feed = run("events", "--type", "feedback.given", "--json", *where).stdout.splitlines()
    assert [json.loads(line)["id"] for line in feed] == [receipt["event_id"]]
    assert as_json("lineage", found["items"][0]["id"], *where)["layer"] == "item"
    assert {item["text"] for item in as_json("items", *where)} >= {"My sister Mia moved to Porto in March."}
    assert as_json("resources", *where)[0]["name"] == "chat.json"
    assert as_json("status", *where)["events"]["resource.ingested"] == 1


def test_what_a_person_sees_names_sources_and_what_to_do_next(service: str, chat: Path) -> None:
    where = ("--user", "ben", "--data-dir", service)
    assert "memorized chat.json" in run("memorize", str(chat), *where).stdout
    assert "known already chat.json" in run("memorize", str(chat), *where).stdout
    shown = run("retrieve", "Where does Mia live?", "--explain", *where).stdout
    assert "message m-2" in shown
    assert "vector" in shown
    context = run("retrieve", "Where does Mia live?", "--context", *where).stdout
    assert context.startswith("## What memory holds")


def test_what_is_not_waited_for_is_said_to_be_on_its_way_and_the_same_command_waits_for_it(
    service: str, chat: Path
) -> None:
    where = ("--user", "cleo", "--data-dir", service)
    taken = " ".join(run("memorize", str(chat), "--no-wait", *where).stdout.split())
    assert "taken chat.json" in taken
    assert "the same command without --no-wait waits for that" in taken
    assert "2 items" in run("memorize", str(chat), *where).stdout


def test_category_files_are_printed_and_exported(service: str, chat: Path, tmp_path: Path) -> None:
    where = ("--user", "zoe", "--data-dir", service)
    run("memorize", str(chat), *where)
    until_now(lambda: bool(as_json("files", *where)))
    name = as_json("files", *where)[0]["name"]
    assert run("files", name, *where).stdout.startswith(f"# {name}")
    run("files", "--export", str(tmp_path), *where)
    assert (tmp_path / "categories" / f"{name}.md").read_text().startswith(f"# {name}")


def test_the_original_of_a_resource_is_saved(service: str, chat: Path, tmp_path: Path) -> None:
    where = ("--user", "kim", "--data-dir", service)
    done = as_json("memorize", str(chat), *where)[0]
    run("resources", done["resource"]["id"], "--save", str(tmp_path / "copy.json"), *where)
    assert (tmp_path / "copy.json").read_bytes() == chat.read_bytes()


def test_a_user_can_come_from_the_environment(service: str) -> None:
    shown = run("items", MEMSTREAM_USER="nobody-yet", MEMSTREAM_DATA_DIR=service).stdout
    assert "no items yet" in shown


def test_a_command_works_without_a_running_service(tmp_path: Path, chat: Path) -> None:
    where = ("--user", "ana", "--data-dir", str(tmp_path / "data"))
    run("memorize", str(chat), *where)
    assert as_json("retrieve", "Where does Mia live?", *where)["items"][0]["speaker"] == "Ana"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("memorize", "no-such-file.json"), 2, "no file"),
        (("memorize", "."), 2, "is a directory"),
        (("retrieve", ""), 2, "query"),
        (("retrieve", "x", "--top-k", "0"), 2, "top-k"),
        (("retrieve", "Who is it?", "--method", "llm"), 2, "method='rag'"),
        (("retrieve", "x", "--history", "no-such-file.json"), 2, "cannot be read"),
        (("feedback", "unknown", "--used", "x"), 3, "no retrieval"),
        (("items", "unknown"), 3, "no item"),
        (("resources", "--save", "x"), 2, "needs the id"),
        (("files", "unknown"), 3, "no category"),
        (("lineage", "unknown"), 3, "'unknown'"),
        (("events", "--type", "x"), 2, "unknown event type"),
        (("items", "--url", "http://127.0.0.1:9"), 4, "memstream up"),
        (("status", "--url", "nonsense"), 4, "nonsense"),
    ],
)
def test_mistakes_end_with_one_line_and_their_exit_code(
    service: str, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = run(*arguments, "--user", "ana", "--data-dir", service, code=code)
    assert said in done.stderr


def test_an_error_is_json_too_when_json_is_asked_for(service: str) -> None:
    done = run("items", "unknown", "--user", "ana", "--data-dir", service, "--json", code=3)
    assert json.loads(done.stderr)["error"]["type"] == "NotFound"


def test_a_missing_user_is_asked_for_and_no_user_never_means_all(service: str) -> None:
    done = run("items", "--data-dir", service, code=2)
    assert "--user" in done.stderr
    assert "empty" in run("items", "--user", " ", "--data-dir", service, code=2).stderr


@pytest.mark.parametrize(
    "command",
    ["demo", "up", "memorize", "retrieve", "feedback", "files", "items", "resources", "events", "status", "doctor"],
)
def test_every_commands_help_has_an_example(command: str) -> None:
    shown = run(command, "--help").stdout
    assert "Example" in shown
    assert f"memstream {command}" in shown


def test_doctor_tries_everything_for_real(tmp_path: Path) -> None:
    checks = as_json("doctor", "--data-dir", str(tmp_path))
    assert {check["name"] for check in checks} >= {"NATS server", "embedder", "disk", "round trip"}
    assert all(check["ok"] for check in checks), checks


@pytest.mark.parametrize("parts", [("kitchen",), ("memory",)])
def test_up_refuses_parts_that_cannot_run(tmp_path: Path, parts: tuple[str, ...]) -> None:
    done = run("up", *parts, "--data-dir", str(tmp_path), code=2)
    assert "known are" in done.stderr or "--nats-url" in done.stderr


def test_up_says_when_the_nats_server_is_down(tmp_path: Path) -> None:
    done = run("up", "--nats-url", "nats://127.0.0.1:9", "--data-dir", str(tmp_path), code=4)
    assert "no NATS server answers" in done.stderr
