"""The ledger's tables: one row per thing and version, each with the position that made it and that ended it.

There are no primary keys and no secondary indexes: rows are only appended and ended, duplicates are caught in the
working set before they are written, and DuckDB's scans of a filtered column cost less than keeping an index.
"""

from typing import Final, NamedTuple

import pyarrow as pa

# Raise it whenever a table changes: a ledger of another version is set aside and rebuilt from the log.
SCHEMA_VERSION: Final = 5

_TYPES: Final[dict[str, pa.DataType]] = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    "VARCHAR[]": pa.list_(pa.string()),
    "BLOB": pa.binary(),
}


class Table(NamedTuple):
    """A table: its name and its columns with DuckDB types, in order."""

    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def ddl(self) -> str:
        """The statement that creates it."""
        columns = ", ".join(f'"{name}" {kind}' for name, kind in self.columns)
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({columns})"

    @property
    def arrow(self) -> pa.Schema:
        """The same columns for Arrow batches."""
        return pa.schema([(name, _TYPES[kind]) for name, kind in self.columns])


def _table(name: str, columns: str) -> Table:
    pairs = (column.rsplit(" ", 1) for column in columns.replace("\n", " ").split(","))
    return Table(name, tuple((left.strip(), kind.strip()) for left, kind in pairs))


_ALL = [
    _table(
        "events",
        "position BIGINT, id VARCHAR, type VARCHAR, scope VARCHAR, time TIMESTAMPTZ, recorded TIMESTAMPTZ, "
        "causation VARCHAR, correlation VARCHAR",
    ),
    _table(
        "resources",
        "scope VARCHAR, id VARCHAR, name VARCHAR, modality VARCHAR, media_type VARCHAR, digest VARCHAR, size BIGINT, "
        "session VARCHAR, agent VARCHAR, time TIMESTAMPTZ, made BIGINT, ended BIGINT",
    ),
    _table(
        "segments",
        "scope VARCHAR, id VARCHAR, resource_id VARCHAR, ordinal BIGINT, unit VARCHAR, span_start BIGINT, "
        "span_end BIGINT, text VARCHAR, message_ids VARCHAR[], speakers VARCHAR[], time TIMESTAMPTZ, "
        "made BIGINT, ended BIGINT",
    ),
    _table(
        "parts",
        "scope VARCHAR, resource_id VARCHAR, event_id VARCHAR, stage VARCHAR, run BIGINT, part BIGINT, parts BIGINT, "
        "statements BIGINT, author VARCHAR, "
        "prompt_version VARCHAR, model VARCHAR, tokens_in BIGINT, tokens_out BIGINT, seconds DOUBLE, made BIGINT",
    ),
    _table(
        "failures",
        "scope VARCHAR, resource_id VARCHAR, stage VARCHAR, reason VARCHAR, attempt BIGINT, parked BOOLEAN, made BIGINT",
    ),
    _table(
        "skipped",
        "scope VARCHAR, resource_id VARCHAR, unit VARCHAR, span_start BIGINT, span_end BIGINT, reason VARCHAR, "
        "item_id VARCHAR, made BIGINT",
    ),
    _table(
        "items",
        "scope VARCHAR, id VARCHAR, kind VARCHAR, text VARCHAR, context VARCHAR, speaker VARCHAR, "
        "happened TIMESTAMPTZ, made BIGINT, ended BIGINT, end_reason VARCHAR, successor VARCHAR",
    ),
    _table(
        "sources",
        "scope VARCHAR, item_id VARCHAR, resource_id VARCHAR, segment_id VARCHAR, unit VARCHAR, span_start BIGINT, "
        "span_end BIGINT, message_ids VARCHAR[], time TIMESTAMPTZ, made BIGINT, ended BIGINT",
    ),
    _table(
        "categories",
        "scope VARCHAR, id VARCHAR, name VARCHAR, description VARCHAR, origin VARCHAR, made BIGINT, ended BIGINT",
    ),
    _table(
        "files",
        "scope VARCHAR, category_id VARCHAR, version BIGINT, text VARCHAR, citations VARCHAR[], covers BIGINT, "
        "summarizer VARCHAR, made BIGINT, ended BIGINT",
    ),
    _table("links", "scope VARCHAR, category_id VARCHAR, item_id VARCHAR, made BIGINT, ended BIGINT"),
    # How many vectors an event's texts have got: tells when a resource can be retrieved.
    _table(
        "embeddings",
        "scope VARCHAR, resource_id VARCHAR, cause VARCHAR, space VARCHAR, vectors BIGINT, made BIGINT",
    ),
    _table("vectors", "scope VARCHAR, space VARCHAR, layer VARCHAR, id VARCHAR, made BIGINT"),
    _table("query_vectors", "scope VARCHAR, retrieval_id VARCHAR, space VARCHAR, vector BLOB, made BIGINT"),
    _table(
        "retrievals",
        "scope VARCHAR, id VARCHAR, method VARCHAR, original_query VARCHAR, rewritten_query VARCHAR, "
        "needs_retrieval BOOLEAN, top_k BIGINT, sufficient_at VARCHAR, as_of BIGINT, latency_ms DOUBLE, "
        "agent VARCHAR, session VARCHAR, time TIMESTAMPTZ, made BIGINT",
    ),
    _table(
        "hits",
        "scope VARCHAR, retrieval_id VARCHAR, layer VARCHAR, id VARCHAR, rank BIGINT, score DOUBLE, made BIGINT",
    ),
    _table(
        "feedback",
        "scope VARCHAR, event_id VARCHAR, retrieval_id VARCHAR, missing VARCHAR, time TIMESTAMPTZ, made BIGINT",
    ),
    _table(
        "verdicts",
        "scope VARCHAR, retrieval_id VARCHAR, hit_id VARCHAR, verdict VARCHAR, made BIGINT",
    ),
    _table(
        "steps",
        "scope VARCHAR, step_id VARCHAR, kind VARCHAR, sources VARCHAR[], targets VARCHAR[], reason VARCHAR, made BIGINT",
    ),
    _table(
        "trials",
        "scope VARCHAR, step_id VARCHAR, kind VARCHAR, proposal VARCHAR, retrievals BIGINT, before DOUBLE, "
        "after DOUBLE, low DOUBLE, high DOUBLE, accepted BOOLEAN, reason VARCHAR, made BIGINT",
    ),
    # How a user's memory evolves: the latest row counts.
    _table("evolutions", "scope VARCHAR, policy VARCHAR, paused BOOLEAN, reason VARCHAR, made BIGINT"),
    _table("erasures", "scope VARCHAR, up_to BIGINT, reason VARCHAR, made BIGINT"),
    _table(
        "parked",
        "position BIGINT, scope VARCHAR, type VARCHAR, event_key VARCHAR, reason VARCHAR, waits_for BIGINT, "
        "recorded TIMESTAMPTZ, attempts BIGINT, event_id VARCHAR",
    ),
]
TABLES: Final[dict[str, Table]] = {table.name: table for table in _ALL}
META_DDL: Final = "CREATE TABLE IF NOT EXISTS meta (key VARCHAR, value VARCHAR)"
