"""The wheel, as a user gets it: built, installed into a clean environment, imported beside foreign packages.

Installed with nats-py and pydantic alone, at the pinned versions: what a publisher in an agent runtime has.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from memstream.events import EventLog, Scope
from memstream.events.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
FOLDERS = ("events", "projections", "evolution", "services")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MEMSTREAM_"))}
# Building and installing; a registry is asked for hatchling, nats-py and pydantic.
pytestmark = pytest.mark.timeout(180)

PUBLISH = """
import asyncio, sys
from memstream.events import EventPublisher

async def main():
    async with await EventPublisher.connect(sys.argv[1]) as publisher:
        await publisher.publish_conversation("ana", [{"role": "user", "content": "I go climbing."}])

asyncio.run(main())
"""


def run(*command: str | Path, cwd: Path, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; fail with its words."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=ENVIRONMENT, check=False, capture_output=True, text=True
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def built(source: Path, into: Path, *options: str) -> Path:
    """Build a source directory; return the wheel."""
    run(sys.executable, "-m", "build", *options, "--outdir", into, source, cwd=into)
    (wheel,) = into.glob("*.whl")
    return wheel


def files_in(wheel: Path) -> list[str]:
    """Return the names of a wheel's files."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def pinned(*names: str) -> list[str]:
    """Return the lines of requirements.lock for these packages."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [line for line in lines if line.partition("==")[0] in names]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from this checkout."""
    return built(ROOT, tmp_path_factory.mktemp("wheel"), "--wheel")


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel and its two dependencies into a clean environment; return its Python."""
    home = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", home / "venv", cwd=home)
    python = home / "venv" / "bin" / "python"
    install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*install, "--constraint", ROOT / "requirements.lock", *pinned("nats-py", "pydantic"), cwd=home)
    run(*install, "--no-deps", wheel, cwd=home)
    return python


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Return a directory with somebody else's modules of the same names as our folders."""
    (tmp_path / "events.py").write_text("foreign = True\n")
    for folder in FOLDERS[1:]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("foreign = True\n")
    return tmp_path


def test_the_wheel_holds_every_file_of_the_four_folders_and_the_public_face(wheel: Path) -> None:
    ours = {
        f"memstream/{path.relative_to(ROOT)}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = [name for name in files_in(wheel) if ".dist-info/" not in name]
    assert packed == sorted(ours | {"memstream/__init__.py", "memstream/openai.py", "memstream/py.typed"})


def test_the_wheel_holds_the_conversations_and_documents_of_the_demo(wheel: Path) -> None:
    demo = [name for name in files_in(wheel) if name.startswith("memstream/services/demo/")]
    assert any(name.endswith(".json") for name in demo)
    assert any(name.endswith(".md") for name in demo)


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    # Without options, the wheel is built from the source distribution.
    again = built(ROOT, tmp_path)
    assert files_in(again) == files_in(wheel)
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names


def test_the_container_image_is_built_from_all_that_the_wheel_needs(wheel: Path, tmp_path: Path) -> None:
    context = tmp_path / "context"
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            path = line.removeprefix("!")
            (context / path).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
            copy(ROOT / path, context / path)
    assert (context / "requirements.lock").exists()
    assert files_in(built(context, tmp_path, "--wheel")) == files_in(wheel)


def test_it_is_imported_beside_foreign_modules_of_the_same_names(python: Path, foreign: Path) -> None:
    said = run(
        python,
        "-c",
        "import events, services, projections, evolution\n"
        "assert events.foreign and services.foreign and projections.foreign and evolution.foreign\n"
        "import memstream, memstream.events\n"
        "from memstream.events import EventPublisher\n"
        "print(memstream.events.__file__)",
        cwd=foreign,
    ).stdout.strip()
    assert Path(said).is_relative_to(python.parents[1])


def test_a_publisher_needs_neither_a_database_nor_an_http_library(python: Path, foreign: Path) -> None:
    loaded = run(
        python,
        "-c",
        "import sys\n"
        "import memstream\n"
        "from memstream.events import EventPublisher\n"
        "print(*{name.partition('.')[0] for name in sys.modules})",
        cwd=foreign,
    ).stdout.split()
    assert {"memstream", "nats", "pydantic"} <= set(loaded)
    assert not {"duckdb", "lancedb", "numpy", "pyarrow", "httpx", "fastapi", "faststream", "openai"} & set(loaded)


async def test_a_publisher_installed_like_this_publishes(python: Path, foreign: Path, server: EmbeddedServer) -> None:
    run(python, "-c", PUBLISH, server.url, cwd=foreign)
    async with await EventLog.open(server.url) as log:
        assert await log.counts(Scope.of("default", "ana")) == {"resource.ingested": 1}


@pytest.mark.parametrize(
    ("call", "extra"),
    [("open('data')", "memstream[server]"), ("connect('http://127.0.0.1:9')", "memstream[client]")],
    ids=["open", "connect"],
)
@pytest.mark.parametrize("name", ["Memory", "AsyncMemory"])
def test_a_memory_without_its_packages_says_which_extra_to_install(
    python: Path, foreign: Path, name: str, call: str, extra: str
) -> None:
    code = f"import asyncio, inspect\nfrom memstream import {name}\nopening = {name}.{call}\n"
    done = run(
        python, "-c", f"{code}asyncio.run(opening) if inspect.isawaitable(opening) else None", cwd=foreign, check=False
    )
    assert done.returncode == 1
    assert re.match(r"ModuleNotFoundError: .*" + re.escape(f"pip install '{extra}'"), done.stderr.splitlines()[-1])


def test_the_openai_wrapper_without_its_package_says_which_extra_to_install(python: Path, foreign: Path) -> None:
    done = run(python, "-c", "import memstream.openai", cwd=foreign, check=False)
    assert done.returncode == 1
    assert "pip install 'memstream[models]'" in done.stderr.splitlines()[-1]


def test_the_command_line_without_its_packages_says_which_extra_to_install(python: Path, foreign: Path) -> None:
    done = run(python.with_name("memstream"), "status", cwd=foreign, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "pip install 'memstream[server]'" in line


def test_the_installed_version_is_the_one_that_the_package_names(python: Path, foreign: Path) -> None:
    code = "import importlib.metadata, memstream; print(importlib.metadata.version('memstream'), memstream.__version__)"
    installed, named = run(python, "-c", code, cwd=foreign).stdout.split()
    assert installed == named
