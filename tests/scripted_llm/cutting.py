"""A response whose connection closes before its end."""

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send


class CutResponse(Response):
    """Sends what it has as the beginning of more; uvicorn closes the connection of whoever stops there."""

    def __init__(self, beginning: bytes, media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._beginning = beginning

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers without a length, then the beginning, and stop."""
        headers = [(b"content-type", (self.media_type or "").encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._beginning, "more_body": True})
