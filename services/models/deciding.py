"""Two short questions to a model around a search: what is meant, and whether what was found suffices."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator

from memstream.events.subjects import Scope
from memstream.services.reads import Turn

from .client import Answer, Models
from .prompts import DECIDE, SUFFICE, prompt

_TURNS, _TURN_CHARACTERS = 8, 500
_LONGEST_QUERY = 2_000


class Decision(BaseModel):
    """Whether a question needs memory, and the question as memory is asked it."""

    needs_memory: bool
    query: str


class Sufficiency(BaseModel):
    """Whether what was found answers the question, and what to ask next if it does not."""

    sufficient: bool
    next_query: Annotated[str, BeforeValidator(lambda value: value or "")] = ""


async def decide(models: Models, scope: Scope, query: str, history: Sequence[Turn]) -> Answer[Decision]:
    """Ask what a question means in its conversation; raises what ``Models.ask`` raises."""
    told = [f"{turn.name or turn.role}: {turn.content[:_TURN_CHARACTERS]}" for turn in history[-_TURNS:]]
    conversation = "Conversation:\n" + "\n".join(told) + "\n\n" if told else ""
    answer = await models.ask(
        "judge", scope, prompt(DECIDE), f"{conversation}Question: {query}", Decision, max_tokens=400
    )
    rewritten = " ".join(answer.value.query.split())[:_LONGEST_QUERY] or query
    return Answer(answer.value.model_copy(update={"query": rewritten}), answer.usage)


async def suffices(models: Models, scope: Scope, query: str, context: str) -> Answer[Sufficiency]:
    """Ask whether a context answers a question; raises what ``Models.ask`` raises."""
    text = f"Question: {query}\n\nWhat memory returned:\n{context}"
    return await models.ask("judge", scope, prompt(SUFFICE), text, Sufficiency, max_tokens=300)
