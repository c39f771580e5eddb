"""Faults: rounds of kill -9 under load; what was lost, what came twice, and how soon the service was ready again.

A client memorizes over HTTP and appends to the log while the whole service, its NATS server alone, or the projector
of a split deployment is killed; with ``--cluster``, whoever leads a log of three nodes. After each round the log is
compared with everything that was acknowledged, and what is served with a replay.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import Bar, arguments, percentile, positive, report

# The tests' helpers are what a pytest run would find by its own path.
sys.path.append(str(Path(__file__).parents[1]))

from deployments import Clustered, Deployment, Embedded, Split
from rounds import Tally, run_rounds

BARS = (
    *(Bar("lost", "most", 0), Bar("duplicated", "most", 0), Bar("digest_mismatches", "most", 0)),
    *(Bar("ready_s_p95", "most", 10), Bar("resumed_s_p95", "most", 10)),
)
_SEED = 20_265
# So many rounds are one service's life, so that a long run also sees young logs.
_LIFE = 20


async def run(rounds: int, *, cluster: bool) -> dict[str, float]:
    """Strike one deployment after another until all rounds are done, and sum up."""
    chance, tally, number = random.Random(_SEED), Tally(), 0
    while tally.rounds < rounds:
        with tempfile.TemporaryDirectory(prefix="memstream-bench-") as root:
            kinds = _kinds(Path(root), chance, cluster=cluster)
            deployment = kinds[number % len(kinds)]()
            number += 1
            try:
                await deployment.start()
                share = min(_LIFE, _share(rounds, tally.rounds, len(kinds)))
                await run_rounds(deployment, share, chance, tally=tally, settle=True, told=_told(rounds))
            finally:
                deployment.kill()
    return {
        "rounds": tally.rounds,
        "recovered": tally.recovered,
        "acknowledged": tally.acknowledged,
        "refused": tally.refused,
        "lost": tally.lost,
        "duplicated": tally.duplicated,
        "verified": tally.verified,
        "digest_mismatches": tally.digest_mismatches,
        "ready_s_p50": round(percentile(tally.ready_s, 50), 3),
        "ready_s_p95": round(percentile(tally.ready_s, 95), 3),
        "resumed_s_p95": round(percentile(tally.resumed_s or [0.0], 95), 3),
    }


def _told(rounds: int) -> Callable[[Tally, str], None]:
    def told(tally: Tally, fault: str) -> None:
        seconds = (tally.resumed_s or tally.ready_s)[-1]
        line = f"round {tally.rounds} of {rounds}: {fault}, back after {seconds:.1f} s, lost {tally.lost}"
        print(line, file=sys.stderr, flush=True)

    return told


def _kinds(root: Path, chance: random.Random, *, cluster: bool) -> list[Callable[[], Deployment]]:
    if cluster:
        return [lambda: Clustered(root)]
    return [lambda: Embedded(root / "data", chance), lambda: Split(root)]


def _share(rounds: int, done: int, kinds: int) -> int:
    """Return how many rounds the next deployment gets, so that a short run sees each kind."""
    return max(1, min(rounds - done, -(-rounds // kinds)))


def _options() -> argparse.Namespace:
    examples = [
        "python tests/benchmarks/faults.py",
        "python tests/benchmarks/faults.py --rounds 20 --cluster --json",
    ]
    parser = arguments(__doc__ or "", examples)
    parser.add_argument("--rounds", type=positive, default=None, help="kills in all (default 100, of a cluster 20)")
    parser.add_argument("--cluster", action="store_true", help="kill the leader of a log of three nodes")
    return parser.parse_args()


def main() -> None:
    """Read the options, strike, report."""
    options = _options()
    rounds = options.rounds or (20 if options.cluster else 100)
    figures = asyncio.run(run(rounds, cluster=options.cluster))
    kind = "leaders of a cluster" if options.cluster else "services, servers and projectors"
    report(f"faults: {rounds} rounds of kill -9 of {kind}", figures, BARS, as_json=options.json)


if __name__ == "__main__":
    main()
