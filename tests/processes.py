"""Real processes of memstream, which can be killed for real."""

import json
import subprocess
import sys
from pathlib import Path

MEMSTREAM = str(Path(sys.executable).with_name("memstream"))


class Service:
    """`memstream up` as a process that can be killed."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.process = subprocess.Popen(
            [MEMSTREAM, "up", "--data-dir", str(data), "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"exit code {self.process.wait()}"
        self.url: str = json.loads(line)["http"]

    def kill(self) -> None:
        """Kill -9, as a power failure or the kernel would."""
        self.process.kill()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
