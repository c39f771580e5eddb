"""Rounds of kill -9 under load: nothing acknowledged is lost, nothing is twice, and what is served equals a replay."""

import random
from pathlib import Path

import pytest
from deployments import Deployment, Embedded, Split
from rounds import Tally, run_rounds

SEED = 20_261
ROUNDS = 5


@pytest.mark.parametrize("kind", ["one process", "a projector of its own"])
async def test_whoever_is_killed_nothing_acknowledged_is_lost_or_twice(kind: str, tmp_path: Path) -> None:
    chance = random.Random(f"{SEED} {kind}")
    deployment: Deployment = Embedded(tmp_path / "data", chance) if kind == "one process" else Split(tmp_path)
    try:
        await deployment.start()
        tally = await run_rounds(deployment, ROUNDS, chance, verify_every=2)
    finally:
        deployment.kill()
    assert clean(tally), tally
    assert tally.acknowledged > 100


def clean(tally: Tally) -> bool:
    """Tell whether every round ended as it should."""
    whole = tally.rounds == tally.recovered == ROUNDS and tally.verified
    return bool(whole) and not (tally.lost or tally.duplicated or tally.digest_mismatches)
