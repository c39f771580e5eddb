"""Evolution of users' memories: proposals are tried on what is recorded, and steps go into the log.

A step is appended right behind the position that it was derived from; when something of the same user changed in
between, it is stale: nothing is written, and the run begins anew from what is there now.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np

from memstream.events import types as t
from memstream.events.errors import Conflict, InvalidInput, Unavailable
from memstream.events.evolution_payloads import EvolutionConfiguredData, EvolutionRevertedData
from memstream.events.ids import new_id
from memstream.events.log import EventLog
from memstream.events.subjects import Scope
from memstream.evolution.digest import structure_digest
from memstream.evolution.evidence import Evidence
from memstream.evolution.history import History, configured, history, step
from memstream.evolution.loading import load, original, past_of
from memstream.evolution.objective import Board
from memstream.evolution.policy import POLICIES, Policy, policy_named
from memstream.evolution.rerun import rerun
from memstream.evolution.reverting import revert_events
from memstream.evolution.run import Past, Tried, steps
from memstream.evolution.steps import Step, step_events, step_id_of, trial_event
from memstream.evolution.structure import Structure
from memstream.projections.apply import space_name
from memstream.projections.ledger import Ledger

from . import evolving_requests as r
from .lease import Lease
from .memory import MemoryProcess
from .operations import Progress, Told
from .protocols import Embedder

# What makes a step stale that was derived before it.
_CHANGING = (
    *("items.extracted", "item.superseded", "item.forgotten", "items.refiled", "history.erased", "user.erased"),
    *("categories.merged", "category.split", "evolution.reverted"),
)
_ATTEMPTS = 50
_RUNS = 3


class _Planned(NamedTuple):
    """A run that was worked out: the steps with the structures that they start from, and the figures of both ends."""

    policy: Policy
    as_of: int
    evidence: Evidence
    steps: tuple[tuple[Tried, Structure], ...]
    before: r.Figures
    after: r.Figures


class _StaleError(Exception):
    """Somebody else changed the memory between a proposal and its step."""


class Evolution:
    """Evolves the memories that one process serves."""

    def __init__(self, log: EventLog, memory: MemoryProcess, embedder: Embedder) -> None:
        self._log = log
        self._memory = memory
        self._embedder = embedder
        self._lease = Lease(log.nc, "evolution")
        self._active = asyncio.Lock()

    async def operate(self, operation: Any, told: Told) -> Any:
        """Carry out a request of ``evolving_requests``."""
        scope: Scope = operation.needed_scope
        match operation:
            case r.Evolve():
                return await self._evolve(scope, operation, told)
            case r.GetEvolution():
                return await self.history(scope, rejected=operation.rejected)
            case r.GetStep():
                return await self._read(step, scope.key, operation.step_id)
            case r.RevertStep():
                return await self._revert(scope, operation)
            case r.ConfigureEvolution():
                return await self._configure(scope, operation)
            case r.ComparePolicies():
                return await self._compare(scope, operation, told)
        raise InvalidInput(f"evolution cannot do {type(operation).__name__}")

    async def history(self, scope: Scope, *, rejected: bool = True) -> History:
        """Return a user's evolution."""
        await self._caught_up()
        with self._memory.projection.use() as at:
            return await at.ledger.reading(history, at.ledger, scope.key, rejected=rejected)

    async def _evolve(self, scope: Scope, asked: r.Evolve, told: Told) -> r.Evolved:
        started = time.perf_counter()
        paused, chosen = await self._read(configured, scope.key)
        policy = policy_named(asked.policy or chosen)
        if asked.dry_run:
            plan = await self._plan(scope, policy, told)
            return _evolved(plan, plan.as_of, started, dry_run=True)
        if paused:
            raise InvalidInput(f"evolution of {scope.user!r} is paused: resume it with 'evolve policy --resume' first")
        async with self._alone():
            for _ in range(_RUNS):
                plan = await self._plan(scope, policy, told)
                try:
                    return _evolved(plan, await self._take(scope, plan), started, dry_run=False)
                except _StaleError:
                    continue
        raise Unavailable("the memory changes faster than steps can be taken: repeat the run when less is written")

    async def _plan(self, scope: Scope, policy: Policy, told: Told) -> _Planned:
        moment = await self._caught_up()
        structure, evidence = await self._load(scope, policy, moment)
        past = await self._read(past_of, scope.key, moment, len(evidence.retrievals) // 2)
        return await asyncio.to_thread(_worked_out, policy, structure, evidence, past, told)

    async def _load(self, scope: Scope, policy: Policy, moment: int) -> tuple[Structure, Evidence]:
        space = space_name(self._embedder.space)
        with self._memory.projection.use() as at:
            return await load(at, scope, space, latest=policy.settings.retrievals, as_of=moment)

    async def _take(self, scope: Scope, plan: _Planned) -> int:
        """Append the accepted steps one by one, and what was rejected; return the last position."""
        reached = plan.as_of
        for tried, before in plan.steps:
            if tried.verdict.accepted:
                reached = await self._append(scope, tried, before, plan, reached)
        rejected = [one for one, _ in plan.steps if not one.verdict.accepted]
        correlation = new_id()
        events = [trial_event(scope, one, one.proposal.fingerprint, correlation) for one in rejected]
        # A proposal that is rejected again has its earlier trial's id: this one is told of under its own.
        events = [event.model_copy(update={"id": new_id()}) for event in events]
        if events:
            reached = (await self._log.append_many(events, split=True))[-1].position
            await self._memory.projector.wait_for(reached)
        return reached

    async def _append(self, scope: Scope, tried: Tried, before: Structure, plan: _Planned, known: int) -> int:
        for _ in range(_ATTEMPTS):
            end = await self._caught_up()
            if await self._log.last_position(scope, _CHANGING) > known:
                raise _StaleError
            holdings = await self._read(_holdings, scope.key, tried.proposal.closes)
            work = Step(scope, tried, before, plan.evidence.facts, holdings)
            events = step_events(work, step_id_of(tried.proposal, plan.as_of), end + 1)
            try:
                done = await self._log.append_behind(events, end)
            except Conflict:
                continue
            await self._memory.projector.wait_for(done[-1].position)
            return done[-1].position
        raise Unavailable("others append to the log without a pause: repeat the run when less is written")

    async def _revert(self, scope: Scope, asked: r.RevertStep) -> r.Reverted:
        async with self._alone():
            for _ in range(_ATTEMPTS):
                end = await self._caught_up()
                events = await self._read(revert_events, scope, asked.step_id, asked.reason, end + 1)
                try:
                    done = await self._log.append_behind(events, end)
                except Conflict:
                    continue
                await self._memory.projector.wait_for(done[-1].position)
                data = events[0].data
                assert isinstance(data, EvolutionRevertedData)
                return r.Reverted(
                    step_id=data.step_id,
                    position=done[0].position,
                    moved=len({move.item_id for move in data.moves}),
                    closed=len(data.closed),
                    reopened=len(data.reopened),
                    structure=await self._read(structure_digest, scope.key),
                )
        raise Unavailable("others append to the log without a pause: repeat it when less is written")

    async def _configure(self, scope: Scope, asked: r.ConfigureEvolution) -> r.Configured:
        await self._caught_up()
        paused, policy = await self._read(configured, scope.key)
        if asked.policy is not None or asked.paused is not None:
            policy = policy_named(asked.policy or policy).name
            paused = paused if asked.paused is None else asked.paused
            data = EvolutionConfiguredData(policy=policy, paused=paused, reason=asked.reason)
            done = await self._log.append(t.EvolutionConfigured.of(scope, data))
            await self._memory.projector.wait_for(done.position)
        known = tuple(
            r.PolicyView(name=one.name, description=one.description, settings=one.settings.model_dump())
            for one in POLICIES.values()
        )
        return r.Configured(policy=policy, paused=paused, known=known)

    async def _compare(self, scope: Scope, asked: r.ComparePolicies, told: Told) -> list[r.Compared]:
        policies = [policy_named(name) for name in asked.policies]
        moment = await self._caught_up()
        found: list[r.Compared] = []
        for policy in policies:
            _, evidence = await self._load(scope, policy, moment)
            fork = await self._read(original, scope.key, moment, evidence.facts)
            found.append(await asyncio.to_thread(_compared, policy, fork, evidence))
            told(Progress(phase=f"policy {policy.name}", done=len(found), total=len(policies)))
        return found

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Let only one run write at a time: in this process by a lock, among processes by a lease."""
        async with self._active, self._lease.held():
            yield

    async def _caught_up(self) -> int:
        end = (await self._log.state()).last_position
        await self._memory.projector.wait_for(end)
        return end

    async def _read(self, work: Any, *values: Any) -> Any:
        with self._memory.projection.use() as at:
            return await at.ledger.reading(work, at.ledger, *values)


def _holdings(ledger: Ledger, scope: str, categories: Iterable[str]) -> dict[str, set[str]]:
    rows = ledger.rows(
        "SELECT category_id, list(item_id) FROM links WHERE scope = ? AND ended IS NULL "
        "AND list_contains(?::VARCHAR[], category_id) GROUP BY category_id",
        [scope, list(categories)],
    )
    return {category: set(items) for category, items in rows}


def _worked_out(policy: Policy, structure: Structure, evidence: Evidence, past: Past, told: Told) -> _Planned:
    taken: list[tuple[Tried, Structure]] = []
    now = structure
    for tried, after in steps(structure, evidence, policy, past):
        taken.append((tried, now))
        now = after
        told(Progress(phase=f"tried {tried.proposal.kind}", done=len(taken), total=policy.settings.trials))
    newer = rerun(evidence.halves(policy.settings.older)[1])
    board = Board.of(structure, newer)
    return _Planned(policy, evidence.as_of, evidence, tuple(taken), figures(board), figures(board.with_structure(now)))


def _compared(policy: Policy, fork: Structure, evidence: Evidence) -> r.Compared:
    """Evolve a fork on the older part of the history; the newer part has no say in it."""
    older, newer = evidence.halves(policy.settings.older)
    now, counts = fork, (Counter[str](), Counter[str]())
    for tried, after in steps(fork, older, policy):
        counts[not tried.verdict.accepted][tried.proposal.kind] += 1
        now = after
    return r.Compared(
        policy=policy.name,
        accepted=dict(counts[0]),
        rejected=dict(counts[1]),
        figures=figures(Board.of(now, rerun(newer))),
    )


def figures(board: Board) -> r.Figures:
    """Return what a structure is worth on some retrievals."""
    read, columns = board.readings, list(board.columns.values())

    def mean(values: Any) -> float:
        return round(float(np.mean(values)), 4) if len(board.run) else 0.0

    return r.Figures(
        reading_cost=mean(read.cost),
        within_quarter=mean(read.cost <= 0.25),  # noqa: PLR2004 - a quarter
        file_suffices=mean(read.first_file),
        files_suffice=mean(read.files),
        category_hit1=mean(read.first == 1),
        category_hit3=mean(read.first <= 3),  # noqa: PLR2004 - the first three
        category_mrr=mean(1 / np.maximum(read.first, 1)),
        recall=mean(board.recall),
        categories=len(columns),
        directory_tokens=board.directory,
        tokens_per_file=round(sum(one.file for one in columns) / max(1, len(columns)), 1),
        retrievals=len(board.run),
    )


def _evolved(plan: _Planned, position: int, started: float, *, dry_run: bool) -> r.Evolved:
    return r.Evolved(
        dry_run=dry_run,
        policy=plan.policy.name,
        as_of=plan.as_of,
        position=position,
        steps=tuple(_tried(one, plan.as_of) for one, _ in plan.steps),
        before=plan.before,
        after=plan.after,
        seconds=round(time.perf_counter() - started, 3),
    )


def _tried(one: Tried, as_of: int) -> r.TriedStep:
    verdict = one.verdict
    return r.TriedStep(
        step_id=step_id_of(one.proposal, as_of) if verdict.accepted else one.proposal.fingerprint,
        kind=one.proposal.kind,
        proposal=one.proposal.reason,
        expected=one.expected,
        retrievals=verdict.retrievals,
        before=verdict.before,
        after=verdict.after,
        interval=(verdict.low, verdict.high),
        accepted=verdict.accepted,
        reason=verdict.reason,
    )
