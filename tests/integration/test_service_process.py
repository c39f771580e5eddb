"""``memstream up`` as a process: how it starts, is found, refuses a second owner, and ends, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from waiting import until_now

MEMSTREAM = str(Path(sys.executable).with_name("memstream"))
# Settings of the developer's shell are none of the tests' business.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MEMSTREAM_")}
START_SECONDS = 60.0
STOP_SECONDS = 5.0
UNAVAILABLE = 4
CONVERSATION = [
    {"role": "user", "name": "Ana", "content": "On weekends I usually go climbing in the Alps."},
    {"role": "user", "name": "Ana", "content": "My sister Mia is a nurse in Bern."},
]


class Up:
    """A running ``memstream up --port 0 --json`` on a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._output = data_dir.with_name(f"{data_dir.name}-{time.monotonic_ns()}.out")
        self._errors = self._output.with_suffix(".err")
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [MEMSTREAM, "up", "--port", "0", "--data-dir", str(data_dir), "--json"],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    @property
    def pid(self) -> int:
        """The process id of ``memstream up`` itself."""
        return self._process.pid

    @property
    def printed(self) -> str:
        """What it has written to standard output so far."""
        return self._output.read_text()

    def ready(self) -> dict[str, Any]:
        """Wait for the ready line and return it."""

        def said() -> bool:
            assert self._process.poll() is None, self._errors.read_text()
            return self.printed.endswith("\n")

        until_now(said, timeout=START_SECONDS)
        line: dict[str, Any] = json.loads(self.printed.splitlines()[0])
        return line

    def servers(self) -> list[psutil.Process]:
        """Return the nats-server processes below it."""
        return [child for child in psutil.Process(self.pid).children(recursive=True) if child.name() == "nats-server"]

    def end(self, number: signal.Signals) -> tuple[int, float]:
        """Send a signal; return the exit code, and the seconds until it ended."""
        begun = time.monotonic()
        self._process.send_signal(number)
        code = self._process.wait(timeout=3 * STOP_SECONDS)
        return code, time.monotonic() - begun

    def kill(self) -> None:
        """Leave nothing behind."""
        self._process.kill()
        self._process.wait()


Start = Callable[[], Up]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts ``memstream up`` on this test's data directory, again and again."""
    started: list[Up] = []

    def begin() -> Up:
        started.append(Up(tmp_path / "data"))
        return started[-1]

    yield begin
    for up in started:
        up.kill()


@pytest.fixture
def up(start: Start) -> Up:
    """Return a service that is ready."""
    service = start()
    service.ready()
    return service


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line to its end."""
    return subprocess.run(
        [MEMSTREAM, *arguments], env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=60
    )


def memorize(url: str, **body: Any) -> dict[str, Any]:
    """Memorize for Ana over HTTP."""
    reply = httpx.post(f"{url}/v1/memorize", json={"user": "ana", **body}, timeout=60, trust_env=False)
    assert reply.is_success, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def settle(url: str) -> None:
    """Wait until nothing of Ana's is in work."""
    reply = httpx.post(f"{url}/v1/ask/Settle", json={"user": "ana", "timeout": 30}, timeout=60, trust_env=False)
    assert reply.is_success, reply.text


def get(url: str, path: str, **params: Any) -> Any:
    """Ask about Ana over HTTP."""
    reply = httpx.get(f"{url}{path}", params={"user": "ana", **params}, timeout=60, trust_env=False)
    assert reply.is_success, reply.text
    return reply.json()


def gone(processes: list[psutil.Process]) -> bool:
    """Tell whether none of these runs any more; a zombie only waits for its parent."""
    alive = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            alive += process.status() != psutil.STATUS_ZOMBIE
    return not alive


def test_up_prints_one_line_of_json_when_everything_answers(up: Up) -> None:
    ready = up.ready()
    assert up.printed.count("\n") == 1
    assert ready["ready"] is True
    assert ready["parts"] == ["embedding", "extraction", "gateway", "memory"]
    assert get(ready["http"], "/health/ready")["ready"] is True
    assert len(up.servers()) == 1


@pytest.mark.parametrize("option", [[], ["--json"]], ids=["text", "json"])
def test_a_second_up_on_the_same_directory_names_the_first_and_the_way_out(up: Up, option: list[str]) -> None:
    second = run("up", "--port", "0", "--data-dir", str(up.data_dir), *option)
    assert second.returncode == UNAVAILABLE
    assert second.stdout == ""
    (line,) = second.stderr.splitlines()
    message = json.loads(line)["error"]["message"] if option else line
    assert f"{str(up.data_dir)!r} is in use by process {up.pid}" in message
    assert "stop it" in message
    assert get(up.ready()["http"], "/health/ready")["ready"] is True


def test_an_occupied_port_is_named_with_the_way_out_and_leaves_no_server(up: Up, tmp_path: Path) -> None:
    port = up.ready()["http"].rpartition(":")[2]
    second = run("up", "--port", port, "--data-dir", str(tmp_path / "other"))
    assert second.returncode == UNAVAILABLE
    (line,) = second.stderr.splitlines()
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "--port" in line
    mine = [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path / "other") in str(one.info["cmdline"])]
    assert gone(mine)


def test_the_command_line_finds_the_running_service_by_itself(up: Up) -> None:
    done = memorize(up.ready()["http"], messages=CONVERSATION)
    status = run("status", "--data-dir", str(up.data_dir), "--user", "ana", "--json")
    assert status.returncode == 0, status.stderr
    found = json.loads(status.stdout)
    assert found["log_position"] >= done["position"]
    assert found["events"]["resource.ingested"] == 1


def test_the_command_line_opens_the_directory_itself_once_the_service_has_stopped(up: Up) -> None:
    memorize(up.ready()["http"], messages=CONVERSATION)
    settle(up.ready()["http"])
    up.end(signal.SIGTERM)
    status = run("status", "--data-dir", str(up.data_dir), "--user", "ana", "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["events"]["resource.ingested"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_in_time_with_exit_code_zero_and_no_server_left(up: Up, number: signal.Signals) -> None:
    memorize(up.ready()["http"], messages=CONVERSATION)
    settle(up.ready()["http"])
    servers = up.servers()
    code, seconds = up.end(number)
    assert code == 0
    assert seconds <= STOP_SECONDS
    assert gone(servers)
    assert not (up.data_dir / "service.json").exists()


def test_sigterm_in_the_middle_of_work_ends_it_in_time_too(up: Up) -> None:
    url = up.ready()["http"]
    memorize(url, messages=CONVERSATION)
    # Its category files are being written now.
    code, seconds = up.end(signal.SIGTERM)
    assert code == 0
    assert seconds <= STOP_SECONDS


def test_sigkill_leaves_no_server_behind(up: Up) -> None:
    servers = up.servers()
    up.end(signal.SIGKILL)
    assert servers
    until_now(lambda: gone(servers), timeout=STOP_SECONDS)
    assert gone(servers)


def test_everything_acknowledged_before_sigkill_is_there_after_a_restart(up: Up, start: Start) -> None:
    first = up.ready()["http"]
    done = memorize(first, messages=CONVERSATION)
    # Acknowledged, but perhaps not yet processed when the process dies.
    taken = [memorize(first, text=f"Fact {number} is about Bern.", wait=False) for number in range(20)]
    up.end(signal.SIGKILL)
    second = start().ready()["http"]
    wanted = {done["resource"]["id"], *(one["resource"]["id"] for one in taken)}

    def all_ready() -> bool:
        found = get(second, "/v1/resources", limit=100)
        return {one["id"] for one in found if one["status"] == "ready"} == wanted

    until_now(all_ready, timeout=60)
    assert get(second, "/health/ready")["ready"] is True
    ingested = get(second, "/v1/events", types=["resource.ingested"])
    assert len(ingested) == len(wanted)
    assert {item["id"] for item in done["items"]} <= {item["id"] for item in get(second, "/v1/items", limit=1000)}
