"""uvicorn's httptools protocol with less overhead for complete responses.

uvicorn writes the head and the body of a response separately, matches each header against two
patterns, and sets a timer after each response. On the gateway's path this is a tenth of a
request's cost.
"""

from __future__ import annotations

import asyncio
from typing import Any, Self, cast

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service.web.wire.crowds import Crowds
from service.web.wire.joined_writes import JoinedWrites
from service.web.wire.reading import BoundedProtocol, Stage

BODY_FOLLOWS = "finetuned.body_follows"
"""Key in the response start message, set if the first body message follows at once.

The headers must come from a parser or this service, because they are not validated again.
"""


class Protocol(BoundedProtocol):
    """A client connection."""

    _active_at = 0.0

    @classmethod
    def with_limits(
        cls, client_timeout_s: float, crowds: Crowds | None = None, **attributes: object
    ) -> type[Self]:
        """Return a protocol class that gives clients this long to send a request."""
        limits = {"client_timeout_s": client_timeout_s, "crowds": crowds}
        return type(cls.__name__, (cls,), {**limits, **attributes})

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Handle a new client connection."""
        joined = JoinedWrites(cast("asyncio.Transport", transport), self.loop)
        super().connection_made(cast("asyncio.Transport", joined))
        self._active_at = self.loop.time()
        self._set_keep_alive(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the closing of the connection."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def on_response_complete(self) -> None:
        """Handle the end of a response.

        A running timer is kept: when it expires, it checks the connection again.
        """
        self._active_at = self.loop.time()
        if self.timeout_keep_alive_task is None or self.pipeline:
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            if not self.transport.is_closing():
                self.flow.resume_reading()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it was idle for the full keep-alive time."""
        self.timeout_keep_alive_task = None
        if self.cycle is not None and not self.cycle.response_complete:
            return  # the end of this response sets the next timer
        left_s = self._active_at + self.timeout_keep_alive - self.loop.time()
        if self._stage is not Stage.IDLE:  # a request is arriving, which has its own timer
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
        """Record activity. Called when data arrives."""
        self._active_at = self.loop.time()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.__class__ = Cycle  # uvicorn has no setting for this class
        super()._start_asgi_task(cycle, app)


class Cycle(RequestResponseCycle):
    """A request and its response. A response with one body message is written at once."""

    _start: Message | None = None

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """Send a message of the response."""
        start = self._start
        if start is not None:
            self._start = None
            # A second start is uvicorn's 500 for a failed app; the first start was not sent.
            if message["type"] == "http.response.body":
                if self._written(start, message):
                    return
                await super().send(start)  # type: ignore[arg-type]
        elif BODY_FOLLOWS in message:
            self._start = message
            return
        await super().send(message)  # type: ignore[arg-type]

    def _written(self, start: Message, message: Message) -> bool:
        """Write a complete and simple response; return False to leave it to uvicorn."""
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
            return False  # uvicorn reports the error
        parts += (b"\r\n", body)
        self.response_started = self.response_complete = True
        self.transport.write(b"".join(parts))
        self.message_event.set()
        self.on_response()
        return True
