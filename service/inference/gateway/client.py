"""The client's side of the gateway: reads a request and sends its response.

Most requests come from the server as `HandledRequest` (web/wire/protocol.py). `AsgiClient` adapts
ASGI for the others: large or unusual requests, and all requests while tracing or CORS is on.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol, Self

from starlette.types import Message, Receive, Scope, Send

from service.inference.gateway import request_body
from service.inference.upstreams import header_lines
from service.usage.limits import split_headers as header_pairs
from service.web.wire.protocol import Responder

_FORWARDED: Final = (b"traceparent", b"tracestate")
_REQUEST_ID: Final = re.compile(rb"[0-9A-Za-z._-]{1,64}")


class Client(Protocol):
    """A request, and the way to respond to it."""

    responder: Responder | None
    body: bytes | None
    """The body, if it has arrived."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def scope(self) -> Scope: ...

    @property
    def is_slow(self) -> bool:
        """Whether to wait for `client_ready` before more is written."""

    async def read(self, limit_bytes: int) -> bytes:
        """Read the body. Raises TooLarge, RequestTimeout and ClientGone."""

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """Send a complete response. `headers` has a line for each header, such as the length."""

    def begin(self, status: int, headers: bytes, *, has_length: bool) -> None:
        """Send the head of a response. `has_length` says whether it has a Content-Length."""

    def write(self, body: bytes) -> None:
        """Send a part of the body."""

    def end(self, body: bytes = b"") -> None:
        """Send the last part of the body."""

    def abort(self) -> None:
        """Close the connection, which tells the client that the response is not complete."""


class RequestHeaders(NamedTuple):
    """The headers of a request that the gateway uses."""

    authorization: str
    forwarded: dict[str, str]
    """Headers that the engine gets."""
    lines: str
    """The same headers as lines of HTTP."""
    request_id: str | None
    """ID that the client chose, if it is valid."""

    @classmethod
    def parse(cls, headers: Mapping[bytes, bytes]) -> Self:
        """Parse the headers of a request. Names are in lower case."""
        given = headers.get(b"x-request-id")
        forwarded = {
            name.decode(): headers[name].decode("latin-1") for name in _FORWARDED if name in headers
        }
        return cls(
            headers.get(b"authorization", b"").decode("latin-1"),
            forwarded,
            header_lines(forwarded),
            given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else None,
        )


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
        self._is_complete = self._is_aborted = False
        self._changed = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Send what is written until the response is complete, or the client disconnects."""
        self._sender = asyncio.current_task()
        try:
            while not self._is_complete or self._messages:
                await self._changed.wait()
                self._changed.clear()
                while self._messages:
                    await self._send(self._messages[0])
                    self._messages.popleft()
                if self.responder is not None:
                    self.responder.client_ready()
        except asyncio.CancelledError:
            if not self._is_aborted or self._sender is None:
                raise
            self._sender.uncancel()  # it was canceled here
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
        """Let `run` return without a complete response. The server closes the connection."""
        if not self._is_aborted and self._sender is not None:
            self._is_aborted = True
            self._sender.cancel()  # it may wait for a client that does not read

    def _put(self, message: Message) -> None:
        self._messages.append(message)
        self._changed.set()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self.responder is not None:
            self.responder.client_gone()
        self.abort()
