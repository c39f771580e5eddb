"""Real processes of memstream, which can be killed for real."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

MEMSTREAM = str(Path(sys.executable).with_name("memstream"))


class Service:
    """`memstream up` as a process that can be killed: all parts, or some around a server that runs elsewhere."""

    def __init__(
        self, data: Path, *parts: str, nats_url: str | None = None, await_ready: bool = True, **environment: str
    ) -> None:
        self.data = data
        elsewhere = [] if nats_url is None else ["--nats-url", nats_url]
        self.process = subprocess.Popen(
            [MEMSTREAM, "up", *parts, "--data-dir", str(data), "--port", "0", "--json", *elsewhere],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.url = self.nats_url = ""
        if await_ready:
            self.await_ready()

    def await_ready(self) -> None:
        """Wait for the line that says where everything answers."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.stdout.close()
            raise AssertionError(f"exit code {self.process.wait()}")
        ready = json.loads(line)
        self.url, self.nats_url = ready["http"] or "", ready["nats"]

    def server(self) -> psutil.Process | None:
        """Return the nats-server below it; None while there is none."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                # Between fork and exec, it still carries its parent's name.
                if "nats-server" in child.name():
                    return child
        return None

    def kill(self) -> None:
        """Kill -9, as a power failure or the kernel would."""
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def kill_all(self) -> None:
        """Kill -9 of the process and of everything below it, the NATS server too."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        self.kill()
        for child in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(below, timeout=10)
