"""Limits on JSON bodies, in bytes and in time, held while they are read.

Uploads and inference read their bodies themselves, in streams with limits of their own.
What exempts a request is its route alone: a content type is only what the client says.
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
    """Refuses JSON bodies over `max_bytes`, and those not whole after `timeout_s`."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event."""
        if scope["type"] != "http" or _reads_itself(scope):
            await self.app(scope, receive, send)
            return
        body = _Body(receive, self.max_bytes, self.timeout_s)
        await self.app(scope, body.receive, send)


class _Body:
    """One request's body. It raises HTTPException, the one that FastAPI lets through."""

    def __init__(self, receive: Receive, max_bytes: int, timeout_s: float) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._ends_at = asyncio.get_running_loop().time() + timeout_s
        self._size = 0
        self._is_whole = False

    async def receive(self) -> Message:
        """The next message; after the body there is only the client's leaving to wait for."""
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends_at):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408,
                f"The body was not whole after {self._timeout_s:g} seconds. Send it in one go.",
            ) from None
        self._is_whole = not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > self._max_bytes:
            raise HTTPException(413, f"The body is over the limit of {self._max_bytes} bytes.")
        return message


def _reads_itself(scope: Scope) -> bool:
    return scope["method"] == "POST" and _READ_THEMSELVES.fullmatch(scope["path"]) is not None
