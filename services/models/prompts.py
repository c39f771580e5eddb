"""Prompts: one file for each version, its name is the version that events carry."""

from functools import cache
from importlib import resources
from typing import Final

_HERE: Final = "memstream.services.models"
EXTRACT: Final = "extract-1"
RECONCILE: Final = "reconcile-1"
SUMMARIZE: Final = "summarize-1"
DECIDE: Final = "decide-1"
SUFFICE: Final = "suffice-1"
READ: Final = "read-1"
DESCRIBE: Final = "describe-1"


@cache
def prompt(version: str) -> str:
    """Return the text of a prompt; raises FileNotFoundError for a version that does not exist."""
    return resources.files(_HERE).joinpath("prompts", f"{version}.md").read_text(encoding="utf-8").strip()


@cache
def versions() -> tuple[str, ...]:
    """Return the versions that are there."""
    folder = resources.files(_HERE).joinpath("prompts")
    return tuple(sorted(one.name.removesuffix(".md") for one in folder.iterdir() if one.name.endswith(".md")))
