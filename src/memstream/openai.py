"""Memory for an existing OpenAI client, in two lines.

    from memstream.openai import wrap
    client = wrap(OpenAI(), memory=Memory.open("data"), user="ana")

Needs the ``openai`` package: pip install 'memstream[models]'.
"""

try:
    from memstream.services.openai import AsyncMemoryOpenAI, MemoryOpenAI, wrap
except ModuleNotFoundError as error:
    if (error.name or "").startswith("memstream"):
        raise
    raise ModuleNotFoundError(
        f"memstream.openai needs {error.name!r}, which is not installed: pip install 'memstream[models]' "
        "beside 'memstream[server]' (a memory in this process) or 'memstream[client]' (HTTP only)",
        name=error.name,
    ) from error

__all__ = ["AsyncMemoryOpenAI", "MemoryOpenAI", "wrap"]
