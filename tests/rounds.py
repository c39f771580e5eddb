"""Rounds of faults under load: strike, recover, and compare the log with everything that was acknowledged."""

import asyncio
import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from deployments import Deployment
from nodes import open_log
from waiting import until

from memstream import AsyncMemory
from memstream.events import payloads as p
from memstream.events.errors import LogUnavailable, Unavailable
from memstream.events.ids import new_id
from memstream.events.subjects import Scope
from memstream.events.tasks import end
from memstream.events.types import Event, ItemsExtracted, ResourceDescribed, ResourceIngested, RetrievalServed
from memstream.services import operations as o

USERS = ("ana", "ben", "cleo")
ASKER = Scope.of("default", "asker")
_MEMORIZING = 4
Condition = Callable[[], Awaitable[bool]]


@dataclass
class Tally:
    """What a run of rounds has seen."""

    rounds: int = 0
    acknowledged: int = 0
    refused: int = 0
    lost: int = 0
    duplicated: int = 0
    recovered: int = 0
    verified: int = 0
    digest_mismatches: int = 0
    ready_s: list[float] = field(default_factory=list)
    resumed_s: list[float] = field(default_factory=list)


class Client:
    """Memorizes over HTTP and appends to the log at the same time; whatever was not acknowledged is repeated."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._numbers: Iterator[int] = count()
        self._statements: deque[tuple[str, str]] = deque()
        self._batch: list[RetrievalServed] = []
        # Event ids with their positions (0: not told), and the resources that they are about.
        self.events: dict[str, int] = {}
        self.resources: set[str] = set()
        # When the latest acknowledged append was begun, and how many were given up by the log.
        self.begun = 0.0
        self.refused = 0
        self._work: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def at_work(self, deployment: Deployment) -> AsyncIterator[None]:
        """Keep it working meanwhile; in the end it is cut off, as a client that crashes."""
        async with await AsyncMemory.connect(deployment.url, timeout=30) as memory:
            work = [asyncio.create_task(self._memorize(memory)) for _ in range(_MEMORIZING)]
            work.append(asyncio.create_task(self._append(deployment.nats_url)))
            self._work = work
            try:
                yield
            finally:
                await end(*work)
        for task in work:
            failure = None if task.cancelled() else task.exception()
            if failure is not None and not isinstance(failure, Unavailable):
                raise failure

    def check(self) -> None:
        """Raise what has ended a part of the work: waiting for it would only say that nothing comes."""
        for task in self._work:
            failure = task.exception() if task.done() and not task.cancelled() else None
            if failure is not None and not isinstance(failure, Unavailable):
                raise failure

    async def _memorize(self, memory: AsyncMemory) -> None:
        while True:
            if self._statements:
                user, text = self._statements.popleft()
            else:
                number = next(self._numbers)
                user, text = USERS[number % len(USERS)], f"Box number {number} holds the tools for job {number}."
            try:
                done = await memory.user(user).memorize([{"role": "user", "content": text}], wait=False)
            except BaseException:
                self._statements.append((user, text))
                raise
            self.resources.add(done.resource.id)
            self.events |= dict.fromkeys(done.events, 0)
            # One at a time: what is found behind the log has been read by the projection.
            await memory.user(user).resource(done.resource.id)

    async def _append(self, url: str) -> None:
        async with open_log(url, timeout=60) as log:
            while True:
                self._batch = self._batch or [_asked(new_id()) for _ in range(self._chance.randrange(1, 6))]
                begun = time.monotonic()
                try:
                    done = await log.append_many(self._batch)
                except LogUnavailable:
                    # Told in time; the same events again are safe.
                    self.refused += 1
                    continue
                self._batch = []
                self.begun = begun
                self.events |= {one.id: one.position for one in done}


def _asked(identifier: str) -> RetrievalServed:
    """Return an event that nothing else follows from."""
    data = p.RetrievalServedData(
        retrieval_id=identifier,
        method="rag",
        original_query="Where are the tools?",
        rewritten_query="Where are the tools?",
        needs_retrieval=True,
        top_k=1,
        tiers=(),
        as_of=0,
        latency_ms=1.0,
    )
    return RetrievalServed.of(ASKER, data, id=identifier)


async def run_rounds(
    deployment: Deployment,
    rounds: int,
    chance: random.Random,
    *,
    tally: Tally | None = None,
    verify_every: int = 1,
    settle: bool = False,
    told: Callable[[Tally, str], None] = lambda tally, fault: None,
) -> Tally:
    """Strike a running deployment in each round at a random moment; the log is audited after each.

    ``told`` hears of each round and its fault; ``settle`` waits in the end until everything that was memorized has been extracted, too.
    """
    tally, client = tally or Tally(), Client(chance)
    faults = [deployment.faults[number % len(deployment.faults)] for number in range(rounds)]
    chance.shuffle(faults)
    for number, fault in enumerate(faults, start=1):
        goal = len(client.resources) + chance.randrange(2, 30)
        if fault in deployment.fatal:
            async with client.at_work(deployment):
                await until(_reached(client, goal), timeout=60)
                await deployment.strike(fault)
            struck = time.monotonic()
            await deployment.recover()
            tally.ready_s.append(time.monotonic() - struck)
        else:
            async with client.at_work(deployment):
                await until(_reached(client, goal), timeout=60)
                await deployment.strike(fault)
                struck = time.monotonic()
                resuming = asyncio.create_task(_seconds_until_resumed(client, struck))
                await deployment.recover()
                tally.ready_s.append(time.monotonic() - struck)
                tally.resumed_s.append(await resuming)
            await deployment.mend()
        tally.rounds += 1
        tally.recovered += 1
        told(tally, fault)
        await _audit(deployment, client, tally)
        if number % verify_every == 0 or number == rounds:
            await _verify(deployment, tally, settled=settle and number == rounds)
    tally.acknowledged += len(client.events)
    tally.refused += client.refused
    return tally


async def _audit(deployment: Deployment, client: Client, tally: Tally) -> None:
    """Compare the log with what was acknowledged: each event once, where it was said to be."""
    events: list[Event] = []

    async def read() -> bool:
        with contextlib.suppress(LogUnavailable):
            async with open_log(deployment.nats_url) as log:
                events[:] = [event async for event in log.read()]
                return True
        # A cluster that has just got a node back may not make readers yet.
        return False

    await until(read, timeout=60)
    positions: dict[str, list[int]] = {}
    made: Counter[tuple[str, str, int]] = Counter()
    for event in events:
        positions.setdefault(event.id, []).append(event.position)
        match event:
            case ResourceIngested():
                made[event.type, event.data.resource_id, 0] += 1
            case ResourceDescribed() | ItemsExtracted():
                made[event.type, event.data.resource_id, event.data.part] += 1
            case _:
                continue
    elsewhere = [one for one, at in client.events.items() if at and at not in positions.get(one, [at])]
    missing = [one for one in client.events if one not in positions]
    unknown = [one for one in client.resources if ("resource.ingested", one, 0) not in made]
    tally.lost += len(elsewhere) + len(missing) + len(unknown)
    tally.duplicated += sum(len(found) - 1 for found in positions.values())
    tally.duplicated += sum(times - 1 for times in made.values())


async def _verify(deployment: Deployment, tally: Tally, *, settled: bool) -> None:
    """Compare what is served with a replay of the log."""
    async with await AsyncMemory.connect(deployment.url) as memory:
        if settled:
            # Work that a killed worker had in hand comes back to another one after half a minute, behind all the rest.
            for user in USERS:
                await memory.user(user).settle(timeout=300)
        verified = await memory.operate(o.Verify())
        tally.verified += 1
        tally.digest_mismatches += not verified.matches


def _reached(client: Client, goal: int) -> Condition:
    async def reached() -> bool:
        client.check()
        return len(client.resources) >= goal

    return reached


async def _seconds_until_resumed(client: Client, struck: float) -> float:
    async def resumed() -> bool:
        client.check()
        return client.begun > struck

    await until(resumed, timeout=60)
    return time.monotonic() - struck
