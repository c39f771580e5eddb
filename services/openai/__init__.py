"""Memory for an existing ``openai`` client: recalled before each call, memorized after it.

``wrap`` is the door; everything else stands between the client's calls and the memory's.
"""

from .async_clients import AsyncMemoryOpenAI
from .clients import MemoryOpenAI
from .wrapping import wrap

__all__ = ["AsyncMemoryOpenAI", "MemoryOpenAI", "wrap"]
