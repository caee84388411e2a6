"""uvicorn's protocol on httptools, with less work for an answer that is whole.

uvicorn writes an answer's head and its body one after the other, looks at each header with two
patterns, and sets a timer after each answer. On the gateway's road that is a tenth of a
request's cost.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service.web.wire.outbox import Outbox
from service.web.wire.reading import BoundedProtocol, Stage

BODY_FOLLOWS = "finetuned.body_follows"
"""A key of the message that starts an answer, where its first body message comes at once. The
headers must be such as a parser gave or this service wrote: they are not looked at again."""

_JOINED_BYTES = 64 * 1024


class JoinedWrites:
    """A transport that sends once for all that is written in a turn; else the real one."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._outbox = Outbox.of(loop)
        self._parts: list[bytes] = []
        self._bytes = 0
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send these bytes soon; what is much is sent now, so that flow control sees it."""
        if not self._parts:
            self._outbox.add(self._flush)
        self._parts.append(data)
        self._bytes += len(data)
        if self._bytes > _JOINED_BYTES:
            self._flush()

    def write_eof(self) -> None:
        """Send everything, and then the end; what the client sends is still read."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close once everything is sent."""
        self._flush()
        self._transport.close()  # which sends what it took first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        parts = self._parts
        if parts:
            self._parts, self._bytes = [], 0
            if self.is_closing():
                return  # the client has gone, and uvloop's transport would raise
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))


class Protocol(BoundedProtocol):
    """A client's connection."""

    _active_at = 0.0

    @classmethod
    def with_timeout(cls, client_timeout_s: float) -> type[Protocol]:
        """The protocol for clients that may take this long to send a request."""
        return type(cls.__name__, (cls,), {"client_timeout_s": client_timeout_s})

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        joined = JoinedWrites(cast("asyncio.Transport", transport), self.loop)
        super().connection_made(cast("asyncio.Transport", joined))
        self._active_at = self.loop.time()
        self._set_keep_alive(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def on_response_complete(self) -> None:
        """An answer is whole. A timer that runs is left to run: when it ends it looks again."""
        self._active_at = self.loop.time()
        if self.timeout_keep_alive_task is None or self.pipeline:
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            if not self.transport.is_closing():
                self.flow.resume_reading()

    def timeout_keep_alive_handler(self) -> None:
        """The timer ended: close a connection that was idle for all of it."""
        self.timeout_keep_alive_task = None
        if self.cycle is not None and not self.cycle.response_complete:
            return  # the next one is set when this answer is whole
        left_s = self._active_at + self.timeout_keep_alive - self.loop.time()
        if self._stage is not Stage.IDLE:  # a request is coming, which has a timer of its own
            self._set_keep_alive(self.timeout_keep_alive)
        elif left_s > 0:
            self._set_keep_alive(left_s)
        else:
            super().timeout_keep_alive_handler()

    def _set_keep_alive(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _unset_keepalive_if_required(self) -> None:
        """Called where bytes come."""
        self._active_at = self.loop.time()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = Cycle  # uvicorn has no place to name it
        super()._start_asgi_task(cycle, app)


class Cycle(RequestResponseCycle):
    """A request and its answer; an answer of one body message is written in one go."""

    _start: Message | None = None

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """Send a message of the answer."""
        start = self._start
        if start is not None:
            self._start = None
            # Another start is uvicorn's 500 for an app that failed: the first was not sent.
            if message["type"] == "http.response.body":
                if self._written(start, message):
                    return
                await super().send(start)  # type: ignore[arg-type]
        elif BODY_FOLLOWS in message:
            self._start = message
            return
        await super().send(message)  # type: ignore[arg-type]

    def _written(self, start: Message, message: Message) -> bool:
        """Write an answer that is whole and plain; others go uvicorn's way."""
        body = message["body"]
        if (
            message.get("more_body", False)
            or not self.keep_alive
            or self.response_started
            or self.disconnected
            or self.waiting_for_100_continue
            or self.flow.write_paused
            or self.scope["method"] == "HEAD"
        ):
            return False
        parts = [STATUS_LINE[start["status"]]]
        length = -1
        for headers in (self.default_headers, start["headers"]):
            for name, value in headers:
                parts += (name, b": ", value, b"\r\n")
                if name == b"content-length":
                    length = int(value)
                elif name == b"connection":
                    return False
        if length != len(body):
            return False  # uvicorn says what is wrong
        parts += (b"\r\n", body)
        self.response_started = self.response_complete = True
        self.transport.write(b"".join(parts))
        self.message_event.set()
        self.on_response()
        return True
