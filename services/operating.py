"""Carrying operations out, in the process that holds the projection."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from memstream.events.errors import InvalidInput, Unavailable
from memstream.events.log import EventLog
from memstream.projections.digest import digest_of, first_difference
from memstream.projections.index import Index
from memstream.projections.ledger import Ledger
from memstream.projections.live import open_stores
from memstream.projections.models import Digest, Generation
from memstream.projections.rebuild import Rebuild, Rebuilt, dropped_positions

from . import operations as o
from .archive import export_log, import_log
from .costs import report_costs
from .embedders import EmbedderChoice
from .erasing import Erasing
from .evolving import Evolution
from .evolving_requests import EVOLVING
from .memory import MemoryProcess
from .operations import Operation, Progress, ResultT, Told
from .parking import Parking
from .reembedding import Reembedding
from .reextracting import Reextracting
from .snapshots import Snapshots
from .thinking import Thinking

_SCRATCH = "scratch-"

Handler = Callable[[Any, Told], Awaitable[Any]]


class Operations:
    """The operations on one memory process; long ones run one at a time."""

    def __init__(self, log: EventLog, memory: MemoryProcess, embedder: EmbedderChoice, thinking: Thinking) -> None:
        self._log = log
        self._memory = memory
        self._thinking = thinking
        self._parking = Parking(log, memory)
        self._erasing = Erasing(log, memory, embedder)
        self._snapshots = Snapshots(log, memory)
        self._reextracting = Reextracting(log, memory, embedder, thinking)
        self._reembedding = Reembedding(log, memory, embedder)
        self.evolution = Evolution(log, memory, embedder)
        self._busy: str | None = None
        # What each operation is called where only one may run at a time, and who carries it out.
        self._handlers: dict[type[Operation[Any]], tuple[str | None, Handler]] = {
            o.TakeDigest: (None, self._digest),
            o.Verify: ("verify", self._verify),
            o.Replay: ("replay", self._replay),
            o.ListGenerations: (None, self._list_generations),
            o.Rollback: ("rollback", self._rollback),
            o.DropGeneration: ("drop", self._drop_generation),
            o.ForgetItem: ("erasure", self._forget),
            o.ForgetResource: ("erasure", self._forget),
            o.ForgetUser: ("erasure", self._forget),
            o.Reembed: ("re-embedding", self._reembed),
            o.Reextract: ("re-extraction", self._reextract),
            o.ReportCosts: (None, self._report_costs),
            o.Export: (None, self._export),
            o.Import: ("import", self._import),
            o.CreateSnapshot: ("snapshot", self._create_snapshot),
            o.ListSnapshots: (None, self._list_snapshots),
            o.RestoreSnapshot: ("restore", self._restore),
        }

    async def operate(self, operation: Operation[ResultT], told: Told) -> ResultT:
        """Carry an operation out; see ``operations`` for them all."""
        if isinstance(operation, o.ListParkedEvents | o.ShowParked | o.RetryParked | o.DropParked):
            return cast("ResultT", await self._parking.operate(operation))
        if type(operation).__name__ in EVOLVING:
            return cast("ResultT", await self.evolution.operate(operation, told))
        what, handler = self._handlers[type(operation)]
        if what is None:
            return cast("ResultT", await handler(operation, told))
        if self._busy is not None:
            raise Unavailable(f"a {self._busy} is running already: wait for its end, then repeat the {what}")
        self._busy = what
        try:
            return cast("ResultT", await handler(operation, told))
        finally:
            self._busy = None

    async def _list_generations(self, _operation: o.ListGenerations, _told: Told) -> list[Generation]:
        return await self._list()

    async def _drop_generation(self, operation: o.DropGeneration, _told: Told) -> list[Generation]:
        await asyncio.to_thread(self._memory.generations.drop, operation.name)
        return await self._list()

    async def _forget(self, operation: o.ForgetItem | o.ForgetResource | o.ForgetUser, told: Told) -> o.Forgotten:
        forgotten = await self._erasing.operate(operation)
        await self._memory.renew(_telling("building memory again", forgotten.tombstone, told))
        return forgotten

    async def _reembed(self, operation: o.Reembed, told: Told) -> o.Reembedded:
        return await self._reembedding.operate(operation, told)

    async def _reextract(self, operation: o.Reextract, told: Told) -> o.Reextracted:
        return await self._reextracting.operate(operation, told)

    async def _report_costs(self, operation: o.ReportCosts, _told: Told) -> o.CostReport:
        return await report_costs(self._log, operation.scope, self._thinking.prices)

    async def _export(self, operation: o.Export, told: Told) -> o.Exported:
        dropped = await dropped_positions(self._log)
        return await export_log(self._log, Path(operation.path), operation.scope, dropped, told)

    async def _import(self, operation: o.Import, told: Told) -> o.Imported:
        return await import_log(self._log, Path(operation.path), operation.only_tenant, told)

    async def _create_snapshot(self, operation: o.CreateSnapshot, _told: Told) -> o.Snapshot:
        return await self._snapshots.create(operation.name)

    async def _list_snapshots(self, _operation: o.ListSnapshots, _told: Told) -> list[o.Snapshot]:
        return await self._snapshots.list()

    async def _digest(self, operation: o.TakeDigest, _told: Told) -> Digest:
        scope = operation.scope.key if operation.scope else None
        if operation.directory is not None:
            async with _opened(Path(operation.directory), must_exist=True) as (ledger, index):
                moment = await self._within(operation.as_of, ledger)
                return await digest_of(ledger, index, scope=scope, as_of=moment)
        if operation.as_of is not None:
            moment = await self._memory.moment(operation.as_of)
        else:
            moment = (await self._log.state()).last_position
            await self._memory.projector.wait_for(moment)
        with self._memory.projection.use() as at:
            return await digest_of(at.ledger, at.index, scope=scope, as_of=moment)

    async def _within(self, as_of: Any, ledger: Ledger) -> int:
        moment = ledger.position if as_of is None else await self._memory.moment(as_of)
        if moment > ledger.position:
            raise InvalidInput(f"as_of {moment} is behind the end of that projection, {ledger.position}")
        return moment

    async def _verify(self, operation: o.Verify, told: Told) -> o.Verified:
        scope = operation.scope
        moment = (await self._log.state()).last_position
        await self._memory.projector.wait_for(moment)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=self._memory.generations.root) as scratch:
            async with self._memory.building, _opened(Path(scratch)) as rebuilt:
                rebuild = Rebuild(self._log, *rebuilt, scope=scope)
                await rebuild.run(moment, _telling("rebuilding", moment, told), await dropped_positions(self._log))
                with self._memory.projection.use() as at:
                    key = scope.key if scope else None
                    served = await digest_of(at.ledger, at.index, scope=key, as_of=moment)
                    again = await digest_of(*rebuilt, scope=key, as_of=moment)
                    difference = None
                    if (table := _first_table(served, again)) is not None:
                        rows = await first_difference(table, (at.ledger, at.index), rebuilt, scope=key, as_of=moment)
                        difference = o.Difference(table=table, only_served=rows[0], only_rebuilt=rows[1])
        return o.Verified(
            matches=difference is None, position=moment, served=served, rebuilt=again, difference=difference
        )

    async def _replay(self, operation: o.Replay, told: Told) -> o.Replayed:
        if operation.into is None:
            if operation.until is not None or operation.user is not None:
                raise InvalidInput(
                    "a part of history, or one user's, cannot be served to everybody: name a directory with --into"
                )
            return await self._replay_generation(told)
        end = (await self._log.state()).last_position
        until = end if operation.until is None else await self._memory.moment(operation.until)
        directory = Path(operation.into)
        resumed = await asyncio.to_thread(_check_target, directory)
        async with _opened(directory) as (ledger, index):
            if ledger.position > until:
                raise InvalidInput(f"{operation.into!r} holds a projection at {ledger.position}, behind {until}")
            rebuild = Rebuild(self._log, ledger, index, scope=operation.scope)
            done = await rebuild.run(until, _telling("replaying", until, told), await dropped_positions(self._log))
        return _replayed(None, directory, done, served=False, resumed=resumed)

    async def _replay_generation(self, told: Told) -> o.Replayed:
        generations = self._memory.generations
        async with self._memory.building:
            unfinished = await asyncio.to_thread(generations.unfinished)
            name = await asyncio.to_thread(generations.create) if unfinished is None else unfinished
            directory = generations.path(name)
            end = (await self._log.state()).last_position
            async with _opened(directory) as (ledger, index):
                rebuild = Rebuild(self._log, ledger, index)
                done = await rebuild.run(end, _telling("replaying", end, told), await dropped_positions(self._log))
            await asyncio.to_thread(generations.note, name, done.position, complete=True)
            await self._memory.switch(name)
        return _replayed(name, directory, done, served=True, resumed=unfinished is not None)

    async def _restore(self, operation: o.RestoreSnapshot, told: Told) -> o.Restored:
        if (reason := await self._snapshots.usable(operation.name)) is None:
            async with self._memory.building:
                restored = await self._snapshots.restore(operation.name)
            await self._memory.renew()
            return restored
        made = await self._replay_generation(told)
        assert made.generation is not None
        return o.Restored(
            generation=made.generation, position=made.position, replayed=True, reason=f"not restored: {reason}"
        )

    async def _rollback(self, operation: o.Rollback, _told: Told) -> Generation:
        generations = self._memory.generations
        name = await asyncio.to_thread(generations.previous) if operation.name is None else operation.name
        generations.path(name)
        if name == self._memory.projection.name:
            raise InvalidInput(f"generation {name} is being served already")
        await self._memory.switch(name)
        return next(one for one in await self._list() if one.name == name)

    async def _list(self) -> list[Generation]:
        found = await asyncio.to_thread(self._memory.generations.describe)
        here = self._memory.projection
        return [
            one.model_copy(update={"position": here.ledger.position}) if one.name == here.name else one for one in found
        ]


@contextlib.asynccontextmanager
async def _opened(directory: Path, *, must_exist: bool = False) -> AsyncIterator[tuple[Ledger, Index]]:
    if must_exist and not await asyncio.to_thread((directory / "ledger.duckdb").is_file):
        raise InvalidInput(f"{str(directory)!r} holds no projection: make one with 'memstream replay --into'")
    ledger, index = await open_stores(directory)
    try:
        yield ledger, index
    finally:
        index.close()
        await asyncio.to_thread(ledger.close)


def _check_target(directory: Path) -> bool:
    """Tell whether a directory holds a projection to go on with; raise InvalidInput when it holds anything else."""
    if not directory.exists():
        return False
    if not directory.is_dir():
        raise InvalidInput(f"{str(directory)!r} is a file: name a directory")
    names = {path.name for path in directory.iterdir()}
    if names and "ledger.duckdb" not in names:
        raise InvalidInput(f"{str(directory)!r} holds other files: name an empty directory, or a new one")
    return bool(names)


def _telling(phase: str, total: int, told: Told) -> Any:
    def tell(done: Rebuilt) -> None:
        told(
            Progress(
                phase=phase,
                done=done.position,
                total=total,
                events=done.events,
                items=done.items,
                seconds=round(done.seconds, 3),
            )
        )

    return tell


def _first_table(left: Digest, right: Digest) -> str | None:
    ours, theirs = ({one.name: one.digest for one in digest.tables} for digest in (left, right))
    return next((name for name in sorted(ours | theirs) if ours.get(name) != theirs.get(name)), None)


def _replayed(name: str | None, directory: Path, done: Rebuilt, *, served: bool, resumed: bool) -> o.Replayed:
    return o.Replayed(
        generation=name,
        directory=str(directory),
        position=done.position,
        events=done.events,
        items=done.items,
        seconds=round(done.seconds, 3),
        served=served,
        resumed=resumed,
    )
