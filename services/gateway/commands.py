"""Routes that append: memorize, retrieve, feedback."""

from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any, cast

from fastapi import APIRouter, File, Form, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from memstream.events.errors import InvalidInput
from memstream.events.payloads import FeedbackGivenData
from memstream.events.publisher import Labels
from memstream.events.subjects import Scope
from memstream.services.engine import Engine
from memstream.services.inputs import modality_of, opened
from memstream.services.reads import Ask, Retrieved
from memstream.services.results import FeedbackReceipt, Input, Memorized

Timeout = Annotated[float, Field(gt=0, le=3_600)]


class MemorizeRequest(BaseModel):
    """A conversation (``messages``) or a text (``text``) to memorize."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "user": "user-1",
                "messages": [{"role": "user", "name": "Ana", "content": "I go climbing at weekends."}],
            }
        },
    )
    tenant: str = "default"
    user: str
    messages: list[Any] | None = None
    text: str | None = None
    modality: str | None = None
    name: str | None = None
    media_type: str | None = None
    session: str | None = None
    agent: str | None = None
    time: datetime | None = None
    wait: bool = True
    timeout: Timeout = 60.0


class RetrieveRequest(Ask):
    """A question, and the session and agent that it comes from."""

    session: str | None = None
    agent: str | None = None


class FeedbackRequest(FeedbackGivenData):
    """How a retrieval's hits fared."""

    tenant: str = "default"
    user: str


def command_routes(engine: Engine) -> APIRouter:
    """Return the routes of the commands."""
    router = APIRouter(prefix="/v1", tags=["commands"])

    @router.post("/memorize", summary="Memorize a conversation or a text")
    async def memorize(body: MemorizeRequest) -> Memorized:
        scope = Scope.of(body.tenant, body.user)
        if (body.messages is None) == (body.text is None):
            raise InvalidInput("give either 'messages' (a conversation) or 'text' (a document)")
        content = body.messages if body.messages is not None else cast("str", body.text)
        with opened(
            content,
            modality=body.modality,
            name=body.name,
            media_type=body.media_type,
            session=body.session,
            agent=body.agent,
            time=body.time,
        ) as (stream, given):
            return await engine.memorize(scope, stream, given, wait=body.wait, timeout=body.timeout)

    _add_upload(router, engine)

    @router.post("/retrieve", summary="Ask memory")
    async def retrieve(body: RetrieveRequest) -> Retrieved:
        request = Ask.model_validate(body.model_dump(exclude={"session", "agent"}))
        return await engine.retrieve(body.scope, request, Labels(session=body.session, agent=body.agent))

    @router.post("/feedback", summary="Say which hits were used, helpful or wrong, and what was missing")
    async def feedback(body: FeedbackRequest) -> FeedbackReceipt:
        given = FeedbackGivenData.model_validate(body.model_dump(exclude={"tenant", "user"}))
        return await engine.feedback(Scope.of(body.tenant, body.user), given)

    return router


def _add_upload(router: APIRouter, engine: Engine) -> None:
    @router.post("/memorize/file", summary="Memorize a file")
    async def memorize_file(
        file: Annotated[
            UploadFile,
            File(description="JSON or JSONL conversation, text, Markdown, HTML, PDF, DOCX, image, recording"),
        ],
        user: Annotated[str, Form()],
        tenant: Annotated[str, Form()] = "default",
        modality: Annotated[str | None, Form()] = None,
        name: Annotated[str | None, Form()] = None,
        media_type: Annotated[str | None, Form()] = None,
        session: Annotated[str | None, Form()] = None,
        agent: Annotated[str | None, Form()] = None,
        time: Annotated[datetime | None, Form()] = None,
        wait: Annotated[bool, Form()] = True,
        timeout: Annotated[float, Form(gt=0, le=3_600)] = 60.0,
    ) -> Memorized:
        scope = Scope.of(tenant, user)
        called = name or file.filename or "upload"
        given = Input(
            modality=modality_of(modality, PurePath(called)),
            name=called,
            media_type=media_type,
            session=session,
            agent=agent,
            time=time,
        )
        return await engine.memorize(scope, file.file, given, wait=wait, timeout=timeout)
