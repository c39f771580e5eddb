"""memstream: event-sourced memory for AI agents.

``Memory`` and ``AsyncMemory`` open a memory in this process or connect to a running service;
``memstream.events`` is enough for a program that only publishes. Importing this package is cheap:
everything else is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memstream.events.errors import MemstreamError
    from memstream.services.asynchronous import AsyncMemory, AsyncUser
    from memstream.services.synchronous import Memory, User

__version__ = "0.1.0"
__all__ = ["AsyncMemory", "AsyncUser", "Memory", "MemstreamError", "User", "__version__"]

_HOMES = {
    "AsyncMemory": "memstream.services.asynchronous",
    "AsyncUser": "memstream.services.asynchronous",
    "Memory": "memstream.services.synchronous",
    "User": "memstream.services.synchronous",
    "MemstreamError": "memstream.events.errors",
}


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that importing memstream loads no database."""
    if name not in _HOMES:
        raise AttributeError(f"module 'memstream' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("memstream"):
            raise
        raise ModuleNotFoundError(
            f"memstream.{name} needs {error.name!r}, which is not installed: "
            "pip install 'memstream[server]' (a memory in this process) or 'memstream[client]' (HTTP only)",
            name=error.name,
        ) from error


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
