"""The floor: bare LanceDB hybrid search, scoped to a user by a B-tree, over the same texts and vectors."""

import tempfile
import time
from collections.abc import Sequence

import lancedb
import pyarrow as pa
from lancedb.index import FTS, BTree
from lancedb.rerankers import RRFReranker

from memstream.services.local.embedder import WordLlamaEmbedder

_BATCH = 20_000


async def ask_bare(texts: Sequence[tuple[int, str]], asked: Sequence[tuple[int, str]], top_k: int = 10) -> list[float]:
    """Index texts of users and ask questions; return the milliseconds of each, embedding included."""
    embedder = WordLlamaEmbedder()
    with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
        connection = await lancedb.connect_async(root)
        schema = pa.schema(
            [("user", pa.string()), ("text", pa.string()), ("vector", pa.list_(pa.float32(), embedder.space.dimension))]
        )
        table = await connection.create_table("texts", schema=schema)
        for start in range(0, len(texts), _BATCH):
            part = texts[start : start + _BATCH]
            vectors = await embedder.embed([text for _, text in part])
            rows = {"user": [f"user-{user}" for user, _ in part], "text": [text for _, text in part]}
            await table.add(pa.table({**rows, "vector": list(vectors)}, schema=schema))
        await table.create_index("user", config=BTree())
        await table.create_index("text", config=FTS())
        await table.optimize()
        taken: list[float] = []
        for user, question in asked:
            started = time.perf_counter()
            vector = (await embedder.embed([question]))[0]
            await (
                table.query()
                .where(f"user = 'user-{user}'")
                .nearest_to(vector)
                .nearest_to_text(question)
                .rerank(RRFReranker())
                .limit(top_k)
                .to_arrow()
            )
            taken.append(1_000 * (time.perf_counter() - started))
    return taken
