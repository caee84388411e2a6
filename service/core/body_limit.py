"""A limit on JSON bodies, held while they are read.

Uploads and inference read their bodies themselves, in streams with limits of their own.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READ_THEMSELVES = ("/v1/chat/", "/v1/completions", "/v1/responses", "/v1/embeddings")


class BodyLimit:
    """Refuses JSON bodies over `max_bytes`, whatever their content-length says."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event."""
        if scope["type"] != "http" or _is_form(scope) or scope["path"].startswith(_READ_THEMSELVES):
            await self.app(scope, receive, send)
            return
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.max_bytes:
                # The one exception that FastAPI lets through while it reads a body.
                raise HTTPException(413, f"The body is over the limit of {self.max_bytes} bytes.")
            return message

        await self.app(scope, limited, send)


def _is_form(scope: Scope) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"multipart/")
        for name, value in scope["headers"]
    )
