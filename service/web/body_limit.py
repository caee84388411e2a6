"""Size and time limits on JSON bodies, enforced while they are read.

Uploads and inference read their own bodies as streams with their own limits. Only the route
exempts a request, because the client controls the content type.
"""

from __future__ import annotations

import asyncio
import re

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READ_THEMSELVES = re.compile(
    r"/v1/(?:files|uploads/[^/]+/parts|chat/completions|completions|responses|embeddings)"
)


class BodyLimit:
    """ASGI middleware that rejects JSON bodies over `max_bytes` or slower than `timeout_s`."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI event."""
        if scope["type"] != "http" or _limits_itself(scope):
            await self.app(scope, receive, send)
            return
        body = _Body(receive, self.max_bytes, self.timeout_s)
        await self.app(scope, body.receive, send)


class _Body:
    """A request body. Raises HTTPException, the error type that FastAPI passes through."""

    def __init__(self, receive: Receive, max_bytes: int, timeout_s: float) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._ends_at = asyncio.get_running_loop().time() + timeout_s
        self._size = 0
        self._is_whole = False

    async def receive(self) -> Message:
        """Return the next message. After the complete body, only a disconnect can follow."""
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends_at):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408,
                f"The body was not complete after {self._timeout_s:g} seconds. Send it without "
                f"pauses.",
            ) from None
        self._is_whole = not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > self._max_bytes:
            raise HTTPException(413, f"The body is over the limit of {self._max_bytes} bytes.")
        return message


def _limits_itself(scope: Scope) -> bool:
    return scope["method"] == "POST" and _READ_THEMSELVES.fullmatch(scope["path"]) is not None
