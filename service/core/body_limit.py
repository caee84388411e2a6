"""A limit on JSON bodies, held while they are read.

Uploads and inference read their bodies themselves, in streams with limits of their own.
What exempts a request is its route alone: a content type is only what the client says.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READ_THEMSELVES = re.compile(
    r"/v1/(?:files|uploads/[^/]+/parts|chat/completions|completions|responses|embeddings)"
)


class BodyLimit:
    """Refuses JSON bodies over `max_bytes`, whatever their headers say."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event."""
        if scope["type"] != "http" or _reads_itself(scope):
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


def _reads_itself(scope: Scope) -> bool:
    return scope["method"] == "POST" and _READ_THEMSELVES.fullmatch(scope["path"]) is not None
