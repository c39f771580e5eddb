"""What recall has in memory: brought up to date in any steps it is what one look at the stores would give."""

import tempfile
from pathlib import Path

import numpy as np
from histories import USERS, commit, histories
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memstream.events.reading import Stored
from memstream.projections.batch import changes_of, decode_batch
from memstream.projections.corpora import Corpora
from memstream.projections.corpus import Corpus
from memstream.projections.index import Index
from memstream.projections.ledger import Ledger
from memstream.projections.packing import pack_vectors
from memstream.projections.reader import Reader

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(histories(), st.lists(st.integers(1, 40), max_size=6), st.integers(1, 40), st.integers(0, 127))
async def test_a_corpus_loaded_in_steps_is_one_loaded_at_once_at_every_moment(
    history: list[Stored], cuts: list[int], moment: int, asked: int
) -> None:
    edges = sorted({*(cut for cut in cuts if cut < len(history)), len(history)})
    with tempfile.TemporaryDirectory() as root:
        ledger, index = Ledger.open(Path(root) / "ledger.duckdb"), await Index.open(Path(root) / "index")
        stepwise = Corpora(ledger, index)
        space = _space(history)
        try:
            for step, (start, end) in enumerate(zip([0, *edges], edges, strict=False)):
                batch = decode_batch(history[start:end])
                changes = changes_of(ledger, batch)
                await index.write(pack_vectors(changes.vectors))
                commit(ledger, changes, batch.position)
                stepwise.commit(changes, batch.position, behind=False)
                # What several commits brought waits for the next question, and is taken in at once.
                if asked >> step & 1:
                    await contents(stepwise, space, moment)
            assert await contents(stepwise, space, moment) == await contents(Corpora(ledger, index), space, moment)
            for scope in USERS:
                live = {item.id: item for item in Reader(ledger, scope, moment).items()}
                async with stepwise.statements(scope.key, space) as corpus:
                    seen = corpus.visible(moment)
                    shown = [corpus.ids[row] for row in np.flatnonzero(seen)]
                    assert sorted(shown) == sorted(live)
                    for identifier in shown:
                        assert corpus.categories_of(identifier, moment) == live[identifier].categories
                        assert corpus.sources_of(identifier, moment) == live[identifier].sources
        finally:
            index.close()
            ledger.close()


async def contents(corpora: Corpora, space: str | None, moment: int) -> list[object]:
    """Return what questions about a moment would see of everybody's memory."""
    found: list[object] = []
    for scope in USERS:
        async with corpora.statements(scope.key, space) as statements:
            found.append(_seen(statements, moment))
        async with corpora.segments(scope.key, space) as segments:
            found.append(_seen(segments, moment))
        async with corpora.categories(scope.key, space) as categories:
            found.append(_seen(categories, moment))
    return found


def _seen(corpus: Corpus, moment: int) -> list[tuple[object, ...]]:
    rows = np.flatnonzero(corpus.visible(moment))
    vectors = [corpus._vectors[row].tolist() if corpus._embedded[row] else None for row in rows]
    return sorted(
        ((corpus.ids[row], corpus.shown[row], vector) for row, vector in zip(rows, vectors, strict=True)), key=repr
    )


def _space(history: list[Stored]) -> str | None:
    events = decode_batch(history).events
    return next(
        (f"{e.data.space.model}@{e.data.space.dimension}" for e in events if e.type == "vectors.embedded"), None
    )
