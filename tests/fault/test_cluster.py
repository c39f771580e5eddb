"""Three nodes hold the log: whoever leads it may be killed under load, and appends go on with the other two."""

import random
from pathlib import Path

from deployments import Clustered
from rounds import run_rounds

SEED = 20_262
ROUNDS = 2


async def test_a_killed_leader_costs_no_acknowledged_event_and_little_time(tmp_path: Path) -> None:
    chance, deployment = random.Random(SEED), Clustered(tmp_path)
    try:
        await deployment.start()
        tally = await run_rounds(deployment, ROUNDS, chance, verify_every=2)
    finally:
        deployment.kill()
    assert (tally.rounds, tally.lost, tally.duplicated, tally.digest_mismatches) == (ROUNDS, 0, 0, 0), tally
    assert tally.acknowledged > 50
    assert max(tally.resumed_s) < 10, tally
