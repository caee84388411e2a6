"""A limit on JSON bodies, held before anything is parsed.

Uploads and inference read their bodies themselves, in streams with limits of their own.
"""

from __future__ import annotations

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.core.errors import TooLarge


class _OverLimit(Exception):
    pass


class BodyLimit:
    """Refuses JSON bodies over `max_bytes`, said or sent."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event."""
        if scope["type"] != "http" or not _is_json(scope) or _reads_itself(scope["path"]):
            await self.app(scope, receive, send)
            return
        started, size = False, 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.max_bytes:
                raise _OverLimit
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, limited, watched)
        except _OverLimit:
            if started:
                raise
            error = TooLarge(f"The body is over the limit of {self.max_bytes} bytes.")
            await JSONResponse(error.body(), error.status)(scope, receive, send)


def _is_json(scope: Scope) -> bool:
    kinds = (v for n, v in scope["headers"] if n == b"content-type")
    return not any(v.startswith(b"multipart/") for v in kinds)


def _reads_itself(path: str) -> bool:
    return path.startswith(("/v1/chat/", "/v1/completions", "/v1/responses", "/v1/embeddings"))
