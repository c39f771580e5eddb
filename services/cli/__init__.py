"""The command line: ``memstream``."""

import sys


def main() -> None:
    """Run the command line; says what to install when the server's packages are missing."""
    try:
        from .app import app  # noqa: PLC0415 - typer and rich are part of an extra
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("memstream"):
            raise
        sys.stderr.write(f"memstream's command line needs {error.name!r}: pip install 'memstream[server]'\n")
        sys.exit(1)
    app()
