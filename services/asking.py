"""Answering a question: what it means, the search or the reading, and what of it fits into a prompt."""

import base64
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from memstream.events.errors import InvalidInput, ModelRequired, Unavailable
from memstream.events.payloads import TaskUsage
from memstream.events.subjects import Scope
from memstream.projections.apply import space_name
from memstream.projections.live import Projection
from memstream.projections.models import Recalled
from memstream.projections.question import Question
from memstream.projections.reader import Reader

from .context import pack_context
from .embedders import EmbedderChoice
from .protocols import Embedder, Matrix
from .reads import Ask, Found, Turn
from .rewriting import rewrite
from .shelves import ProjectedShelf, Shelf
from .spending import metered, usage_of

logger = logging.getLogger("memstream.asking")


class Meaning(NamedTuple):
    """What a question means: whether it needs memory, and as what memory is asked it."""

    needs_retrieval: bool
    query: str
    usage: Sequence[TaskUsage] = ()


class Verdict(NamedTuple):
    """Whether what was found suffices (None: nobody can tell), and what to ask next."""

    sufficient: bool | None
    next_query: str | None
    usage: Sequence[TaskUsage] = ()


class Reading(NamedTuple):
    """What reading memory found, what to ask next, and what it cost."""

    recalled: Recalled
    next_query: str | None
    usage: Sequence[TaskUsage]


class Advisor(Protocol):
    """A language model beside the search."""

    async def meaning(self, scope: Scope, query: str, history: Sequence[Turn]) -> Meaning | None:
        """Return what a question means; None when the model gives no usable answer."""
        ...

    async def verdict(self, scope: Scope, query: str, context: str) -> Verdict:
        """Judge what was found; a model that gives no usable answer cannot tell."""
        ...

    async def read(self, scope: Scope, query: str, shelf: Shelf, *, top_k: int, as_of: int) -> Reading:
        """Read memory tier by tier; raises Unavailable and ProcessingFailed."""
        ...


class Asking:
    """Answers questions from the projection that is served."""

    def __init__(self, serving: Callable[[], Projection], embedder: Embedder, advisor: Advisor | None) -> None:
        self._serving = serving
        self._embedder = embedder
        self._advisor = advisor

    async def find(self, scope: Scope, request: Ask, as_of: int) -> Found:
        """Answer as of a position; raises InvalidInput, ModelRequired, and Unavailable when a model must answer."""
        if not request.query.strip():
            raise InvalidInput("the query is empty: ask something")
        advisor = self._advisor if request.use_model else None
        if request.method == "llm" and not request.use_model:
            raise ModelRequired(
                "method='llm' reads memory with a language model, and this question is to be answered without one: "
                "use method='rag'"
            )
        if request.method == "llm" and advisor is None:
            raise ModelRequired(
                "method='llm' reads memory with a language model, and none is configured: set MEMSTREAM_LLM_MODEL "
                "(see the README's chapter on models), or use method='rag', which needs none"
            )
        started = time.perf_counter()
        meaning = await self._meaning(scope, request, as_of, advisor)
        if not meaning.needs_retrieval:
            return Found(
                needs_retrieval=False,
                rewritten_query=meaning.query,
                next_step_query=None,
                recalled=Recalled(as_of=as_of),
                context="",
                usage=usage_of(meaning.usage, time.perf_counter() - started),
            )
        if request.method == "llm" and advisor is not None:
            found = await self._read(scope, request, meaning, as_of, advisor)
        else:
            found = await self._search(scope, request, meaning, as_of, advisor)
        usage = usage_of([*meaning.usage, *found.usage.tasks], time.perf_counter() - started)
        return found.model_copy(update={"usage": usage})

    async def _meaning(self, scope: Scope, request: Ask, as_of: int, advisor: Advisor | None) -> Meaning:
        history = request.conversation_history
        if advisor is not None and (told := await advisor.meaning(scope, request.query, history)) is not None:
            return told
        people: Sequence[str] = []
        if history:
            with self._serving().use() as at:
                people = await at.ledger.reading(Reader(at.ledger, scope, as_of).speakers)
        rewritten = rewrite(request.query, history, people)
        return Meaning(rewritten.needs_retrieval, rewritten.query)

    async def _search(self, scope: Scope, request: Ask, meaning: Meaning, as_of: int, advisor: Advisor | None) -> Found:
        # One embedder for the whole question, whatever is switched to meanwhile.
        embedder = self._embedder.current if isinstance(self._embedder, EmbedderChoice) else self._embedder
        space = space_name(embedder.space)
        with self._serving().use() as at:
            wording = await at.recall.wording(scope, meaning.query, space=space, as_of=as_of)
            with metered() as embedding:
                vector = await _embedded(embedder, wording)
            question = Question(
                meaning.query, space, vector, as_of=as_of, top_k=request.top_k, exhaustive=request.exhaustive
            )
            recalled = await at.recall.answer(scope, question)
            context, verdict = pack_context(recalled, request.max_tokens), Verdict(None, None)
            if advisor is not None:
                verdict = await advisor.verdict(scope, meaning.query, context)
            if verdict.sufficient is False and recalled.sufficient_at is not None:
                # The search stopped too early: what it left out may hold the answer.
                deeper = await at.recall.answer(scope, replace(question, exhaustive=True))
                recalled = deeper.model_copy(update={"sufficient_at": None})
                context = pack_context(recalled, request.max_tokens)
            elif verdict.sufficient and recalled.sufficient_at is None:
                recalled = recalled.model_copy(update={"sufficient_at": "resource" if recalled.resources else "item"})
        return Found(
            needs_retrieval=True,
            rewritten_query=meaning.query,
            next_step_query=(verdict.next_query or _next_step(recalled)) if recalled.sufficient_at is None else None,
            recalled=recalled,
            context=context,
            space=embedder.space.model if vector is not None else None,
            dimension=embedder.space.dimension if vector is not None else 0,
            vector=None if vector is None else base64.b64encode(np.asarray(vector, dtype="<f2").tobytes()).decode(),
            usage=usage_of([*embedding, *verdict.usage], 0.0),
        )

    async def _read(self, scope: Scope, request: Ask, meaning: Meaning, as_of: int, advisor: Advisor) -> Found:
        space = space_name(self._embedder.space)
        with self._serving().use() as at:
            shelf = ProjectedShelf(at, scope, space, as_of)
            read = await advisor.read(scope, meaning.query, shelf, top_k=request.top_k, as_of=as_of)
        return Found(
            needs_retrieval=True,
            rewritten_query=meaning.query,
            next_step_query=read.next_query,
            recalled=read.recalled,
            context=pack_context(read.recalled, request.max_tokens),
            usage=usage_of(read.usage, 0.0),
        )


async def _embedded(embedder: Embedder, text: str) -> Matrix | None:
    """Return a question's vector; None when its endpoint is away: full text finds without."""
    try:
        vectors = await embedder.embed([text])
    except Unavailable as error:
        logger.warning("asked without vectors: %s", error)
        return None
    return np.asarray(vectors[0], np.float32)


def _next_step(recalled: Recalled) -> str | None:
    """Suggest what to ask next: the words of the question that nothing found so far contains."""
    return " ".join(recalled.missing) if recalled.sufficient_at is None and recalled.missing else None
