"""The peer: mem0 with its local qdrant, ``infer=False``, and the same wordllama vectors; runs in an environment of its own.

Reads a JSON object from standard input: ``texts`` (pairs of user and text), ``conversations`` (pairs of user and
texts) and ``asked`` (user, question and the text that was meant); prints turns added a second, one a call and a
conversation a call, search times in milliseconds, and how often the text was among the first ten.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ["MEM0_TELEMETRY"] = "False"

import wordllama
from langchain_core.embeddings import Embeddings
from mem0 import Memory
from wordllama import WordLlama

_DIMENSION = 256


class WordLlamaEmbeddings(Embeddings):
    """wordllama's vectors, as mem0 takes them."""

    def __init__(self) -> None:
        self._model = WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text."""
        return self._model.embed(texts, norm=True).tolist()

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question."""
        return self.embed_documents([text])[0]


def main() -> None:
    """Add, ask, print one line of JSON."""
    given = json.load(sys.stdin)
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        os.environ["MEM0_DIR"] = root
        # No call reaches it: nothing is inferred.
        os.environ.setdefault("OPENAI_API_KEY", "none")
        memory = Memory.from_config(
            {
                "vector_store": {
                    "provider": "qdrant",
                    "config": {"path": f"{root}/qdrant", "embedding_model_dims": _DIMENSION, "on_disk": True},
                },
                "embedder": {"provider": "langchain", "config": {"model": WordLlamaEmbeddings()}},
                "history_db_path": f"{root}/history.db",
            }
        )
        started = time.perf_counter()
        for user, text in given["texts"]:
            memory.add([{"role": "user", "content": text}], user_id=user, infer=False)
        added = len(given["texts"]) / (time.perf_counter() - started)
        started = time.perf_counter()
        for user, texts in given["conversations"]:
            memory.add([{"role": "user", "content": text} for text in texts], user_id=f"whole-{user}", infer=False)
        whole = sum(len(texts) for _, texts in given["conversations"]) / (time.perf_counter() - started)
        taken, found = [], 0
        for user, question, meant in given["asked"]:
            started = time.perf_counter()
            hits = memory.search(question, filters={"user_id": user}, top_k=10)["results"]
            taken.append(1_000 * (time.perf_counter() - started))
            found += any(hit["memory"] == meant for hit in hits)
    taken.sort()
    figures = {
        "adds_per_s": round(added, 1),
        "whole_adds_per_s": round(whole, 1),
        "search_p50_ms": round(median(taken), 2),
        "search_p95_ms": round(taken[int(0.95 * (len(taken) - 1))], 2),
        "found_share": round(found / len(taken), 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
