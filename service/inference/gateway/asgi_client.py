"""Requests that a server passes on by ASGI: large ones, those that arrive in parts, and others."""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import Message, Receive, Scope, Send

from service.inference.gateway import request_body
from service.inference.gateway.exchange import Responder
from service.usage.refusals import headers as header_pairs


class AsgiClient:
    """A request, and the way to respond to it. `run` sends what is written."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, timeout_s: float) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.body: bytes | None = None
        self.responder: Responder | None = None
        self._receive = receive
        self._send = send
        self._timeout_s = timeout_s
        self._messages: deque[Message] = deque()
        self._is_complete = False
        self._changed = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Send what is written until the response is complete, or the client disconnects."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                while self._messages:
                    await self._send(self._messages[0])
                    self._messages.popleft()
                if self._is_complete:
                    return
                if self.responder is not None:
                    self.responder.client_ready()
        finally:
            if self._watch is not None:
                self._watch.cancel()
            if self.responder is not None:
                self.responder.client_gone()

    async def read(self, limit_bytes: int) -> bytes:
        """Read the body. Raises TooLarge, RequestTimeout and ClientGone."""
        body = await request_body.read(self._receive, self.headers, limit_bytes, self._timeout_s)
        self._watch = asyncio.create_task(self._until_gone(), name="client of the gateway")
        return body

    @property
    def is_slow(self) -> bool:
        """Whether something was written that is not sent."""
        return bool(self._messages)

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """Send a complete response."""
        self.begin(status, headers, has_length=True)
        self.end(body)

    def begin(self, status: int, headers: bytes, *, has_length: bool) -> None:
        """Send the head of a response."""
        pairs = list(header_pairs(headers))
        self._put({"type": "http.response.start", "status": status, "headers": pairs})

    def write(self, body: bytes) -> None:
        """Send a part of the body."""
        self._put({"type": "http.response.body", "body": body, "more_body": True})

    def end(self, body: bytes = b"") -> None:
        """Send the last part of the body."""
        self._is_complete = True
        self._put({"type": "http.response.body", "body": body})

    def abort(self) -> None:
        """Return without a complete response. The server closes the connection."""
        self._is_complete = True
        self._messages.clear()
        self._changed.set()

    def _put(self, message: Message) -> None:
        self._messages.append(message)
        self._changed.set()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self.responder is not None:
            self.responder.client_gone()
        self.abort()
