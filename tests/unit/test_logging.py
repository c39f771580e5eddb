"""A program's logging is its own."""

import subprocess
import sys

EMBED = """
import asyncio, logging
from memstream.services.local.embedder import WordLlamaEmbedder

asyncio.run(WordLlamaEmbedder().embed(["a text"]))
print(logging.getLogger().handlers, logging.getLogger().level == logging.WARNING)
"""


def test_embedding_a_text_does_not_make_other_libraries_log() -> None:
    done = subprocess.run([sys.executable, "-c", EMBED], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[] True", "")
