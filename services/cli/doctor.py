"""``memstream doctor``: each thing that memstream stands on, tried for real."""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from memstream.events.errors import MemstreamError
from memstream.events.server import server_binary
from memstream.services.announcement import running_service
from memstream.services.local.embedder import WordLlamaEmbedder
from memstream.services.models.profiles import profiles_in
from memstream.services.settings import Settings
from memstream.services.synchronous import Memory

_PACKAGES = ("nats-py", "pydantic", "duckdb", "lancedb", "faststream", "fastapi", "wordllama")
_LEAST_FREE_BYTES = 1 << 30


class Check(NamedTuple):
    """One finding: ``detail`` is a version, a figure, or what is wrong and the way out."""

    name: str
    ok: bool
    detail: str


def diagnose(data_dir: Path, url: str | None) -> list[Check]:
    """Run every check; one that fails does not stop the others."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("packages", _packages),
        ("NATS server", _nats),
        ("embedder", _embedder),
        ("disk", lambda: _disk(data_dir)),
        ("service", lambda: _service(data_dir, url)),
        ("round trip", _round_trip),
    ]
    return [*(_run(name, check) for name, check in checks), *_models()]


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except (
        MemstreamError,
        OSError,
        RuntimeError,
        ImportError,
        PackageNotFoundError,
        subprocess.SubprocessError,
    ) as error:
        return Check(name, False, f"{type(error).__name__}: {error}")


def _packages() -> str:
    return ", ".join(f"{name} {version(name)}" for name in _PACKAGES)


def _nats() -> str:
    binary = server_binary()
    words = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=10).stdout
    return words.strip()


def _embedder() -> str:
    started = time.perf_counter()
    embedder = WordLlamaEmbedder()
    asyncio.run(embedder.embed(["a first text"]))
    loaded = time.perf_counter() - started
    return f"{embedder.space.model}, {embedder.space.dimension} dimensions, loaded in {loaded:.2f} s"


def _models() -> list[Check]:
    """Try each language model that the settings name; none is named by default."""
    try:
        settings = Settings()
        if not profiles_in(settings):
            return [
                Check("language models", True, "none configured: rules do their work (MEMSTREAM_LLM_MODEL names one)")
            ]
        from memstream.services.models.checkup import check_models  # noqa: PLC0415 - loads the openai package

        return [Check(*finding) for finding in asyncio.run(check_models(settings))]
    except (MemstreamError, ValueError, ImportError) as error:
        return [Check("language models", False, f"{error}")]


def _disk(data_dir: Path) -> str:
    place = next(path for path in (data_dir.resolve(), *data_dir.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < _LEAST_FREE_BYTES:
        raise OSError(f"only {free / 2**20:,.0f} MiB free at {place}: free some, the log only grows")
    return f"{free / 2**30:,.1f} GiB free at {place}"


def _service(data_dir: Path, url: str | None) -> str:
    running = running_service(data_dir)
    address = url or (running.url if running else None)
    if address is None:
        return f"none is running on {data_dir} (commands open it themselves)"
    with Memory.connect(address) as memory:
        state = memory.user("doctor").status()
    return f"{address}: log at {state.log_position}, projection {state.lag} behind"


def _round_trip() -> str:
    with tempfile.TemporaryDirectory() as scratch, Memory.open(scratch, settings=_without_models()) as memory:
        user = memory.user("doctor")
        started = time.perf_counter()
        user.memorize([{"role": "user", "content": "My bicycle is a green one from Lyon."}])
        found = user.retrieve("Which colour is the bicycle?")
        if not found.items:
            raise MemstreamError("a message was memorized, but not found again")
        return f"memorized and found again in {1_000 * (time.perf_counter() - started):.0f} ms"


def _without_models() -> Settings:
    """Return settings for a round trip that costs nothing."""
    named = ("llm_model", "embedding_model", "transcription_model", "vision_model", "models_file")
    return Settings().model_copy(update=dict.fromkeys(named))
