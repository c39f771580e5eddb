"""The digest of a structure: what its categories are called, hold and quote, whatever positions made it so."""

import hashlib

from memstream.projections.ledger import Ledger

_LIVE = "scope = $scope AND made <= $as_of AND (ended IS NULL OR ended > $as_of)"


def structure_digest(ledger: Ledger, scope: str, as_of: int | None = None) -> str:
    """Return the digest of one user's structure as of a position (default: the present)."""
    values = {"scope": scope, "as_of": ledger.position if as_of is None else as_of}
    summed = hashlib.sha256()
    for query in (
        f"SELECT id, name, description, origin FROM categories WHERE {_LIVE} ORDER BY ALL",
        f"SELECT category_id, item_id FROM links WHERE {_LIVE} ORDER BY ALL",
        f"SELECT category_id, text, citations FROM files WHERE {_LIVE} AND text <> '' ORDER BY ALL",
    ):
        summed.update(repr(ledger.rows(query, values)).encode())
    return summed.hexdigest()
