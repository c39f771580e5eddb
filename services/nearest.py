"""Which known statements are near to new ones: those that language models made, by their vectors."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from memstream.events.subjects import Scope
from memstream.projections.apply import space_name
from memstream.projections.ledger import Ledger
from memstream.projections.live import Projection
from memstream.projections.statements import Statements

from .protocols import Embedder, Matrix
from .reads import GetNear, Near


async def nearest(at: Projection, scope: Scope, embedder: Embedder, request: GetNear) -> list[list[Near]]:
    """Return the nearest live statements of models for each text of a request."""
    made = await at.ledger.reading(_made_by_models, at.ledger, scope)
    if not made:
        return [[] for _ in request.texts]
    vectors = await embedder.embed(request.texts)
    as_of = at.ledger.position
    async with at.recall.corpora.statements(scope.key, space_name(embedder.space)) as statements:
        return await at.ledger.reading(_ranked, statements, vectors, made, as_of, request)


def _made_by_models(ledger: Ledger, scope: Scope) -> list[str]:
    rows = ledger.rows(
        "SELECT i.id FROM items i WHERE i.scope = ? AND i.ended IS NULL AND i.made IN "
        "(SELECT p.made FROM parts p WHERE p.scope = ? AND p.stage = 'extracted' AND p.prompt_version IS NOT NULL) "
        "ORDER BY i.made, i.id",
        [scope.key, scope.key],
    )
    return [row[0] for row in rows]


def _ranked(
    statements: Statements, vectors: Matrix, made: Sequence[str], as_of: int, request: GetNear
) -> list[list[Near]]:
    visible = statements.visible(as_of)
    candidates = statements.rows_of(made, visible)
    found: list[list[Near]] = []
    for vector in vectors:
        similarity, counted = statements.near(vector, visible)
        best = sorted(
            (row for row in candidates if counted[row] and similarity[row] >= request.at_least),
            key=lambda row: -float(similarity[row]),
        )
        found.append([_near(statements, row, float(similarity[row])) for row in best[: request.limit]])
    return found


def _near(statements: Statements, row: int, similarity: float) -> Near:
    _, text, _, happened = statements.shown[row]
    return Near(
        id=statements.ids[row],
        text=cast("str", text),
        happened=cast("datetime | None", happened),
        similarity=round(similarity, 4),
    )
