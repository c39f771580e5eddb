"""What a memory is behind its public face: this process's engine, or a service over HTTP."""

from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO, Protocol

from memstream.events.payloads import FeedbackGivenData
from memstream.events.publisher import Labels
from memstream.events.subjects import Scope
from memstream.projections.models import Resource

from .operations import Operation, ResultT, Told
from .reads import Ask, Read, ReplyT, Retrieved
from .results import EventView, FeedbackReceipt, Input, Memorized, Status


class Backend(Protocol):
    """Commands and questions; see ``Engine`` for what each does and raises."""

    async def ask(self, request: Read[ReplyT]) -> ReplyT:
        """Answer a question about memory."""
        ...

    async def operate(self, operation: Operation[ResultT], told: Told) -> ResultT:
        """Carry an operation out, telling how far it is."""
        ...

    async def memorize(
        self, scope: Scope, content: BinaryIO, given: Input, *, wait: bool = True, timeout: float = 60.0
    ) -> Memorized:
        """Append a resource; with ``wait``, return once it can be retrieved."""
        ...

    async def retrieve(self, scope: Scope, request: Ask, labels: Labels = ...) -> Retrieved:
        """Ask memory and record what it answered."""
        ...

    async def feedback(self, scope: Scope, given: FeedbackGivenData) -> FeedbackReceipt:
        """Record how a retrieval's hits fared."""
        ...

    async def content(self, scope: Scope, resource_id: str, into: BinaryIO) -> Resource:
        """Write a resource's original bytes into a binary file."""
        ...

    def events(
        self, scope: Scope, *, after: int = 0, types: Sequence[str] | None = None, limit: int | None = None
    ) -> AsyncIterator[EventView]:
        """Yield events up to the present end."""
        ...

    def follow(self, scope: Scope, *, after: int = 0, types: Sequence[str] | None = None) -> AsyncIterator[EventView]:
        """Yield events and go on live."""
        ...

    async def status(self, scope: Scope) -> Status:
        """Return the state of the service."""
        ...
