"""Running the command line as a person or a script would."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

MEMSTREAM = str(Path(sys.executable).with_name("memstream"))


def run(*arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command and check how it ended; no traceback is ever shown."""
    env = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1", **environment}
    done = subprocess.run([MEMSTREAM, *arguments], check=False, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == code, f"{done.returncode}: {done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done


def as_json(*arguments: str, **environment: str) -> Any:
    """Run one command with --json and parse what it prints."""
    return json.loads(run(*arguments, "--json", **environment).stdout)
