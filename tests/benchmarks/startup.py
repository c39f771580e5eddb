"""Startup: what `import memstream` costs a program, and what a publisher's `import memstream.events` costs.

Timed inside a fresh interpreter, around the import alone; the whole life of `python -c pass` stands beside it
for comparison. Compiled modules are on disk from a first, uncounted run.
"""

import subprocess
import sys
import tempfile
import time
from statistics import median

from measure import Bar, arguments, positive, report

BARS = (Bar("import_ms", "most", 150),)
_TIMED = "import time; started = time.perf_counter(); import {module}; print(1000 * (time.perf_counter() - started))"


def import_ms(module: str, directory: str) -> float:
    """Import a module in a fresh interpreter; return the milliseconds that the import itself took."""
    command = [sys.executable, "-c", _TIMED.format(module=module)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=directory).stdout)


def python_ms(directory: str) -> float:
    """Start an interpreter that does nothing; return the milliseconds until it has ended."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True, cwd=directory)
    return 1_000 * (time.perf_counter() - started)


def one_round(directory: str) -> tuple[float, float, float]:
    """Measure each once."""
    return import_ms("memstream", directory), import_ms("memstream.events", directory), python_ms(directory)


def run(rounds: int) -> dict[str, float]:
    """Return the medians of the rounds; the working directory is empty, so that it shadows no module."""
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as directory:
        one_round(directory)
        whole, publisher, python = zip(*(one_round(directory) for _ in range(rounds)), strict=True)
    return {
        "import_ms": round(median(whole), 3),
        "publisher_import_ms": round(median(publisher), 3),
        "python_ms": round(median(python), 3),
        "rounds": rounds,
    }


def main() -> None:
    """Read the options, measure, report."""
    examples = ["python tests/benchmarks/startup.py", "python tests/benchmarks/startup.py --rounds 30 --json"]
    parser = arguments(__doc__ or "", examples)
    parser.add_argument("--rounds", type=positive, default=10, help="fresh interpreters of each kind (default 10)")
    options = parser.parse_args()
    report(f"startup: medians of {options.rounds}", run(options.rounds), BARS, as_json=options.json)


if __name__ == "__main__":
    main()
