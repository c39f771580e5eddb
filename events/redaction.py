"""Reading a log from which something was erased: what is left of an event is read in the event's own place.

An erasure deletes messages and appends ``event.redacted`` with what stays of each. Whoever reads the log gets that
in place of the original, at its position and with its times, so that a replay sees the history that is allowed.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from .errors import InvalidEvent, LogUnavailable
from .reading import Stored, latest_position, read
from .subjects import OPERATOR, ROOT, subject_of
from .types import EventRedacted, HistoryErased, UserErased, decode

TOMBSTONES = ("history.erased", "user.erased")
_SUBJECTS = tuple(f"{ROOT}.*.*.{name}" for name in ("event.redacted", "history.erased", "user.erased"))


class Redactions:
    """What was erased and what is left of it; kept up to date with a small question to the server."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._read_until = 0
        self._left: dict[int, tuple[str | None, Stored]] = {}
        # Each erased position, with its tombstone's.
        self._gone: dict[int, int] = {}
        self._erased_users: dict[str, int] = {}
        # The latest tombstone of each scope.
        self._tombstones: dict[str, int] = {}

    async def between(self, after: int, until: int, subjects: Sequence[str]) -> list[Stored]:
        """Return the replacements of the positions in ``(after, until]`` under some subjects, in order."""
        await self.refresh()
        found = [self._left[position][1] for position in sorted(self._left) if after < position <= until]
        return [one for one in found if _wanted(one, subjects)]

    async def affects(self, after: int) -> bool:
        """Tell whether anything behind a position was erased, so that its originals must not be shown."""
        await self.refresh()
        last = max([*self._gone, *self._left, *self._erased_users.values()], default=0)
        return last > after

    def gone(self, stored: Stored) -> bool:
        """Tell whether a message was erased, though its deletion may still be under way."""
        if stored.position in self._gone:
            return True
        if not self._erased_users or stored.subject.endswith(TOMBSTONES):
            return False
        return stored.position <= self._erased_users.get(stored.owner, 0)

    async def tombstone_over(self, scope: str, position: int | None) -> int:
        """Return the latest tombstone of a scope if it covers a position (None: any); 0 when nothing was erased there.

        The server still knows the ids of erased messages for a while, and would take what comes again for repeated.
        """
        await self.refresh()
        if position is None:
            return max(self._tombstones.get(scope, 0), self._tombstones.get(OPERATOR.key, 0))
        if position <= self._erased_users.get(scope, 0):
            return self._tombstones[scope]
        return self._gone.get(position, 0)

    async def refresh(self) -> None:
        """Read the erasures that are new in the log."""
        latest = max([await self._latest(subject) for subject in _SUBJECTS])
        if latest <= self._read_until:
            return
        async for stored in read(self._nc, after=self._read_until, until=latest, subjects=_SUBJECTS):
            try:
                event = stored.decode()
            except InvalidEvent:
                # A forged one: the projection parks it, and it replaces nothing.
                continue
            match event:
                case EventRedacted():
                    self._keep(event)
                case HistoryErased():
                    self._forget(event)
                    self._tombstones[event.scope.key] = event.position
                case UserErased():
                    self._forget_user(event)
                    self._tombstones[event.scope.key] = event.position
                case _:
                    continue
        self._read_until = latest

    @property
    def erased_users(self) -> dict[str, int]:
        """The erased users, by the key of their scopes, each with the position up to which."""
        return dict(self._erased_users)

    @property
    def positions(self) -> set[int]:
        """Every position that an erasure of items and resources has touched."""
        return self._gone.keys() | self._left.keys()

    def _keep(self, event: EventRedacted) -> None:
        body = event.data.event.encode()
        try:
            left = decode(body)
        except InvalidEvent:
            # A forged one: it replaces nothing.
            return
        if left.scope != event.scope or event.data.position >= event.position:
            # Nobody redacts another's history, nor the future.
            return
        subject = subject_of(left.scope, left.type)
        stored = Stored(event.data.position, subject, body, event.data.recorded, 1, left.id)
        self._left[stored.position] = (event.causation, stored)

    def _forget(self, event: HistoryErased) -> None:
        for position in event.data.positions:
            if position in self._left and self._left[position][0] != event.id:
                # An earlier erasure had left something of it, this one leaves nothing.
                del self._left[position]
            if position < event.position:
                self._gone[position] = event.position

    def _forget_user(self, event: UserErased) -> None:
        key, up_to = event.scope.key, min(event.data.up_to, event.position - 1)
        self._erased_users[key] = max(up_to, self._erased_users.get(key, 0))
        for position in [place for place, (_, stored) in self._left.items() if stored.owner == key and place <= up_to]:
            del self._left[position]

    async def _latest(self, subject: str) -> int:
        try:
            return await latest_position(self._nc.jetstream(timeout=5), subject)
        except (NatsError, APIError, TimeoutError) as error:
            raise LogUnavailable(f"the log does not answer: {error!r}; is the server up?") from error


async def merged(
    feed: AsyncGenerator[Stored, None], left: Iterable[Stored], gone: Callable[[Stored], bool]
) -> AsyncGenerator[Stored, None]:
    """Yield a feed with replacements in their places, and without what was erased."""
    rest = deque(left)
    async for stored in feed:
        while rest and rest[0].position <= stored.position:
            yield rest.popleft()
        if not gone(stored):
            yield stored
    for one in rest:
        yield one


def _wanted(stored: Stored, subjects: Sequence[str]) -> bool:
    return any(_matches(subject, stored.subject) for subject in subjects)


def _matches(pattern: str, subject: str) -> bool:
    """Tell whether a subject matches a filter with the wildcards of NATS."""
    wanted, given = pattern.split("."), subject.split(".")
    for place, part in enumerate(wanted):
        if part == ">":
            return len(given) > place
        if place >= len(given) or part not in ("*", given[place]):
            return False
    return len(wanted) == len(given)
