"""The server: real HTTP on a free loopback port, in a thread of the test process."""

import asyncio
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal, Self

import uvicorn
from fastapi import FastAPI
from fastapi import Request as HTTPRequest
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.datastructures import UploadFile

from . import chat, responses
from .answers import (
    Answer,
    Dropped,
    Failure,
    Reply,
    Request,
    Script,
    Scripted,
    Vectors,
    answer_of,
    unauthorized,
    unknown_model,
)
from .cutting import CutResponse
from .embeddings import embeddings_body, inputs_of
from .tokens import count

Structured = Literal["json_schema", "json_object", "none"]
_SUPPORTED = {"json_schema": {"json_schema", "json_object"}, "json_object": {"json_object"}, "none": set[str]()}


class ScriptedLLM:
    """An OpenAI-compatible server with scripted answers; a context manager.

    Every attribute may be changed while it runs: ``structured`` is the best structured output that it accepts,
    ``api_key`` the only key (None: any), ``dimension`` that of embeddings, ``max_inputs`` how many texts one request
    may embed, ``latency`` the seconds that every answer takes, ``known_only`` refuses models that are not among
    ``models``, ``thinks`` refuses the options that models do which think before they answer. ``requests`` are all that came, in order.
    """

    def __init__(
        self,
        *,
        structured: Structured = "json_schema",
        api_key: str | None = None,
        dimension: int = 64,
        max_inputs: int = 2048,
        latency: float = 0.0,
        models: tuple[str, ...] = ("scripted", "scripted-embedding"),
        known_only: bool = False,
        thinks: bool = False,
    ) -> None:
        self.structured: Structured = structured
        self.api_key = api_key
        self.dimension = dimension
        self.max_inputs = max_inputs
        self.latency = latency
        self.models = models
        self.known_only = known_only
        self.thinks = thinks
        self.requests: list[Request] = []
        self._queues: dict[bool, deque[Scripted]] = {False: deque(), True: deque()}
        self._scripts: dict[bool, Script] = {False: lambda _: "", True: lambda _: Vectors()}
        self._working = 0
        self._door = _listening()
        config = uvicorn.Config(
            self._app(), log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        # Its signals stay the test runner's: uvicorn leaves them alone outside of the main thread.
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._door]}, name="scripted-llm", daemon=True
        )

    def answer(self, script: Script | Scripted) -> None:
        """Answer each chat completion and response with this, or with what it returns, called in the server's thread."""
        self._scripts[False] = _as_script(script)

    def queue(self, *answers: Scripted) -> None:
        """Answer the next chat completions and responses with these, in turn, before what ``answer`` set."""
        self._queues[False].extend(answers)

    def answer_embeddings(self, script: Script | Scripted) -> None:
        """Answer each request for embeddings with ``Vectors`` or a fault, or with what the script returns."""
        self._scripts[True] = _as_script(script)

    def queue_embeddings(self, *answers: Scripted) -> None:
        """Answer the next requests for embeddings with these, in turn."""
        self._queues[True].extend(answers)

    def asked(self, path: str) -> list[Request]:
        """Return the requests whose path ends like this, as ``chat/completions``, ``responses`` or ``embeddings``."""
        return [request for request in self.requests if request.path.endswith(path)]

    def forget(self) -> None:
        """Begin to record anew."""
        self.requests = []

    @property
    def url(self) -> str:
        """What a client takes as its ``base_url``."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def max_concurrent(self) -> int:
        """How many requests were in work at one time."""
        return max((request.concurrent for request in self.requests), default=0)

    def close(self) -> None:
        """Stop; what is in work a second later is cut off."""
        self._server.should_exit = True
        self._thread.join()
        self._door.close()

    def __enter__(self) -> Self:
        self._port = int(self._door.getsockname()[1])
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/v1/models", self._list_models, methods=["GET"], response_model=None)
        app.add_api_route("/v1/audio/transcriptions", self._transcribe, methods=["POST"], response_model=None)
        for path in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings"):
            app.add_api_route(path, self._serve, methods=["POST"], response_model=None)
        return app

    async def _list_models(self, http: HTTPRequest) -> Response:
        request = self._record(http, {})
        if fault := self._unauthorized(request):
            return _failed(fault)
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in self.models]
        return JSONResponse({"object": "list", "data": data})

    async def _serve(self, http: HTTPRequest) -> Response:
        return await self._worked(http, await http.json())

    async def _transcribe(self, http: HTTPRequest) -> Response:
        """Take a form with a recording: its body holds the file's ``name``, ``type`` and ``size``, and the model."""
        async with http.form() as form:
            file = form["file"]
            assert isinstance(file, UploadFile)
            body = {"name": file.filename, "type": file.content_type, "size": len(await file.read())}
            return await self._worked(http, {"model": form["model"], **body})

    async def _worked(self, http: HTTPRequest, body: dict[str, Any]) -> Response:
        self._working += 1
        try:
            request = self._record(http, body)
            answer = self._checked(request) or self._scripted(request)
            await asyncio.sleep(self.latency + answer.delay)
            return self._response(request, answer)
        finally:
            self._working -= 1

    def _record(self, http: HTTPRequest, body: dict[str, Any]) -> Request:
        request = Request(http.url.path, body, dict(http.headers), time.monotonic(), self._working)
        self.requests.append(request)
        return request

    def _checked(self, request: Request) -> Failure | None:
        """Return the fault that a real server finds in a request before any model sees it."""
        if fault := self._unauthorized(request) or self._unfit(request):
            return fault
        wanted = request.structure
        if wanted != "text" and wanted not in _SUPPORTED[self.structured]:
            return _invalid(f"response_format.type {wanted!r} is not supported by this model")
        if wanted == "json_object" and "json" not in request.text.casefold():
            return _invalid(
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
            )
        if request.path.endswith("embeddings") and len(inputs_of(request.body)) > self.max_inputs:
            return _invalid(f"'input' may have at most {self.max_inputs} texts")
        return None

    def _unfit(self, request: Request) -> Failure | None:
        if self.known_only and request.model not in self.models:
            return unknown_model(request.model)
        if self.thinks and (
            option := next((one for one in ("max_tokens", "temperature") if one in request.body), None)
        ):
            return _unsupported(option)
        return None

    def _unauthorized(self, request: Request) -> Failure | None:
        given = request.headers.get("authorization")
        return unauthorized() if self.api_key is not None and given != f"Bearer {self.api_key}" else None

    def _scripted(self, request: Request) -> Answer:
        embedding = request.path.endswith("embeddings")
        queue = self._queues[embedding]
        return answer_of(queue.popleft() if queue else self._scripts[embedding](request))

    def _response(self, request: Request, answer: Answer) -> Response:
        identifier = f"{len(self.requests):06}"
        match answer:
            case Failure():
                return _failed(answer)
            case Vectors():
                dimension = answer.dimension or request.body.get("dimensions") or self.dimension
                return JSONResponse(embeddings_body(request.body, dimension, answer.missing))
            case Reply() if request.path.endswith("transcriptions"):
                return JSONResponse(_transcript(answer))
            case Reply():
                return _replied(request, answer, identifier)
            case Dropped():
                return _dropped(request, answer, identifier)


def _listening() -> socket.socket:
    # The protocol is named, so that asyncio sends small answers at once (TCP_NODELAY): 40 ms each otherwise.
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    door.bind(("127.0.0.1", 0))
    door.listen(512)
    return door


def _as_script(script: Script | Scripted) -> Script:
    return script if callable(script) else lambda _: script


def _invalid(message: str) -> Failure:
    return Failure(400, message, "invalid_value", "invalid_request_error")


def _unsupported(option: str) -> Failure:
    way_out = "Use 'max_completion_tokens' instead." if option == "max_tokens" else "Only the default (1) is supported."
    return Failure(
        400,
        f"Unsupported parameter: '{option}' with this model. {way_out}",
        "unsupported_parameter",
        "invalid_request_error",
    )


def _failed(fault: Failure) -> Response:
    error = {"message": fault.message, "type": fault.type, "param": None, "code": fault.code}
    return JSONResponse({"error": error}, status_code=fault.status, headers=dict(fault.headers))


def _replied(request: Request, reply: Reply, identifier: str) -> Response:
    if request.body.get("stream"):
        return StreamingResponse(_streamed(request)(request, reply, identifier), media_type="text/event-stream")
    return JSONResponse(_whole(request)(request, reply, identifier))


def _transcript(reply: Reply) -> dict[str, Any]:
    heard = reply.content or ""
    usage = {"type": "tokens", "input_tokens": 100, "output_tokens": count(heard), "total_tokens": 100 + count(heard)}
    return {"text": heard, "usage": usage}


def _dropped(request: Request, answer: Dropped, identifier: str) -> Response:
    reply = Reply(answer.content)
    if request.body.get("stream"):
        told = list(_streamed(request)(request, reply, identifier))
        return CutResponse("".join(told[: answer.pieces]).encode(), "text/event-stream")
    body = bytes(JSONResponse(_whole(request)(request, reply, identifier)).body)
    return CutResponse(body[: len(body) // 2], "application/json")


def _streamed(request: Request) -> Callable[[Request, Reply, str], Iterator[str]]:
    return responses.events if request.path.endswith("responses") else chat.chunks


def _whole(request: Request) -> Callable[[Request, Reply, str], dict[str, Any]]:
    return responses.response if request.path.endswith("responses") else chat.completion
