"""compose.yaml as real processes: there is no container engine here, so what the file declares is started.

Commands, environment, health checks and the NATS configuration come from the file. Only what a container would map
is replaced: host names and ports by loopback ones, ``/data`` by a directory of the test.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import yaml
from nodes import free_ports
from waiting import until_now

from memstream.events.server import server_binary
from memstream.services.bootstrap import ALL_PARTS

ROOT = Path(__file__).parents[1]
DECLARED: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = DECLARED["services"]
GRACE_SECONDS = 5.0
MAX_RESTARTS = 3
# What these names mean inside the images.
PROGRAMS = {
    "memstream": str(Path(sys.executable).with_name("memstream")),
    "python": sys.executable,
    "nats-server": server_binary(),
}


class Ended(NamedTuple):
    """How a process ended: its exit code, and the seconds since it was told to stop."""

    code: int
    seconds: float


class Deployment:
    """The services of compose.yaml, each a process of its own, in one directory."""

    def __init__(self, root: Path) -> None:
        nats, monitor, port = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        self.nats_url = f"nats://127.0.0.1:{nats}"
        self._root = root
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: Counter[str] = Counter()
        self._replaced = {
            r"\bnats:4222\b|\b0\.0\.0\.0:4222\b": f"127.0.0.1:{nats}",
            r"\b127\.0\.0\.1:8222\b": f"127.0.0.1:{monitor}",
            r"\b0\.0\.0\.0\b": "127.0.0.1",
            r"\b8377\b": str(port),
        }

    def start_all(self) -> None:
        """Start every service that does not run, once those that it depends on are as it wants them."""
        waiting = [name for name in SERVICES if not self.running(name)]
        while waiting:
            name = next(one for one in waiting if not set(waiting) & set(_needs(one)))
            for needed, condition in _needs(name).items():
                if condition == "service_healthy":
                    self.await_ready(needed)
            self.start(name)
            waiting.remove(name)
        for name in SERVICES:
            self.await_ready(name)

    def start(self, name: str) -> None:
        """Start one service as it is declared."""
        service = SERVICES[name]
        home = self.data(name)
        home.mkdir(parents=True, exist_ok=True)
        configured = {one["target"]: self._configure(one["source"], name) for one in service.get("configs", ())}
        program, *arguments = service["command"]
        # What has no value is passed on from where Compose runs: here it is not set.
        declared = {key: value for key, value in service.get("environment", {}).items() if value is not None}
        environment = {key: self._local(value, name) for key, value in declared.items()}
        with self._output(name).open("wb") as output:
            self._processes[name] = subprocess.Popen(
                [PROGRAMS[program], *(configured.get(one) or self._local(one, name) for one in arguments)],
                env={"PATH": os.environ["PATH"], **environment},
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def await_ready(self, name: str) -> None:
        """Wait until a service says that it is ready, and is healthy if there is a check of that."""

        def ready() -> bool:
            if not self.running(name):
                self._restart(name)
            if name in ALL_PARTS and not re.search(rf"^ready\s+{name}$", self.words(name), re.MULTILINE):
                return False
            return "healthcheck" not in SERVICES[name] or self.healthy(name)

        until_now(ready, timeout=60)

    def running(self, name: str) -> bool:
        """Tell whether a service has been started and has not ended."""
        return name in self._processes and self._processes[name].poll() is None

    def healthy(self, name: str) -> bool:
        """Run a service's declared health check."""
        _, program, *arguments = (self._local(one, name) for one in SERVICES[name]["healthcheck"]["test"])
        if program == "wget":
            try:
                return httpx.get(arguments[-1], trust_env=False).is_success
            except httpx.TransportError:
                return False
        return subprocess.run([PROGRAMS[program], *arguments], check=False, capture_output=True).returncode == 0

    def terminate(self, *names: str) -> dict[str, Ended]:
        """Send SIGTERM to services at the same moment and see how each ends; kill what does not."""
        begun = time.monotonic()
        ends: dict[str, Ended] = {}
        for name in names:
            self._processes[name].send_signal(signal.SIGTERM)

        def over() -> bool:
            for name in names:
                code = self._processes[name].poll()
                if code is not None and name not in ends:
                    ends[name] = Ended(code, time.monotonic() - begun)
            return len(ends) == len(names)

        try:
            until_now(over, timeout=3 * GRACE_SECONDS)
        except AssertionError:
            self._kill(*names)
            over()
        return ends

    def kill_all(self) -> None:
        """Leave nothing running, whatever the tests did."""
        self._kill(*self._processes)

    def process(self, name: str) -> psutil.Process:
        """Return a service's process."""
        return psutil.Process(self._processes[name].pid)

    def data(self, name: str) -> Path:
        """Return what is mounted at /data: the declared volume, or the container's own directory."""
        mounted = [volume.split(":")[0] for volume in SERVICES[name].get("volumes", ())]
        return self._root / (mounted[0] if mounted else name)

    def words(self, name: str) -> str:
        """Return what a service has printed since it was started."""
        return self._output(name).read_text()

    def _restart(self, name: str) -> None:
        """Do what the declared ``restart: unless-stopped`` does, but not for ever."""
        assert SERVICES[name]["restart"] == "unless-stopped"
        self._restarts[name] += 1
        assert self._restarts[name] <= MAX_RESTARTS, self.words(name)
        self.start(name)

    def _output(self, name: str) -> Path:
        return self._root / f"{name}.log"

    def _configure(self, source: str, name: str) -> str:
        path = self._root / f"{source}.conf"
        path.write_text(self._local(DECLARED["configs"][source]["content"], name))
        return str(path)

    def _local(self, text: str, name: str) -> str:
        for pattern, value in self._replaced.items():
            text = re.sub(pattern, value, text)
        return re.sub(r"(?<![\w/])/data\b", str(self.data(name)), text)

    def _kill(self, *names: str) -> None:
        for name in names:
            self._processes[name].kill()
            self._processes[name].wait()


class Client:
    """One user's calls to the gateway."""

    def __init__(self, http: httpx.Client, user: str) -> None:
        self._http = http
        self.user = user

    def get(self, path: str, **params: Any) -> Any:
        """Return the answer to a question; fail with the gateway's words."""
        return self._answer(self._http.get(path, params={"user": self.user, **params}))

    def post(self, path: str, **body: Any) -> Any:
        """Return the answer to a command; fail with the gateway's words."""
        return self._answer(self._http.post(path, json={"user": self.user, **body}))

    def events(self, *types: str) -> list[dict[str, Any]]:
        """Return the user's events of these types."""
        found: list[dict[str, Any]] = self.get("/v1/events", types=list(types))
        return found

    def status_of(self, resource_id: str) -> str | None:
        """Return how far memory has got with a resource; None while it does not know it, or does not answer."""
        reply = self._http.get(f"/v1/resources/{resource_id}", params={"user": self.user})
        return str(reply.json()["status"]) if reply.is_success else None

    @staticmethod
    def _answer(reply: httpx.Response) -> Any:
        assert reply.is_success, reply.text
        return reply.json() if reply.headers["content-type"] == "application/json" else reply.text


def _needs(name: str) -> dict[str, str]:
    return {needed: want["condition"] for needed, want in SERVICES[name].get("depends_on", {}).items()}
