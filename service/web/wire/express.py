"""Client connections whose most frequent requests take a short cut.

uvicorn parses each request, and starts a task for it with an object for each side. An application
may answer requests that arrive complete without a task, by callbacks. At any point until the answer
begins, it can continue as if there were no short cut. A request that repeats the head of the one
before it on the connection is not even parsed.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Protocol

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.web.wire import protocol
from service.web.wire.protocol import Cycle
from service.web.wire.reading import Stage
from service.web.wire.repeated import RequestHead

_IDLE = Stage.IDLE
_OK = b"HTTP/1.1 200 OK\r\n"
_MAX_BODY_BYTES = 64 * 1024  # uvicorn stops reading beyond, until the application takes some


class Answering(Protocol):
    """An answer that is being prepared by callbacks."""

    def client_gone(self) -> None:
        """The client disconnected, so nobody waits for the answer."""
        ...


class Express(Protocol):
    """An application that can answer requests by callbacks."""

    @property
    def paths(self) -> frozenset[str]:
        """The paths of these requests."""
        ...

    def begin(self, client: ExpressProtocol, head: RequestHead, body: bytes) -> bool:
        """Begin to answer a request, or return False to handle it as any other.

        If true, the client's `expect`, `respond` or `hand_over` has been called.
        """
        ...


class HasExpress(Protocol):
    """An application that offers the short cut while it can."""

    @property
    def express(self) -> Express | None:
        """The short cut."""
        ...


class ExpressProtocol(protocol.Protocol):
    """A client connection."""

    application: ClassVar[HasExpress | None] = None

    _head: RequestHead | None = None
    """Head of the latest request, if it can take the short cut."""
    _is_parsing = False
    _parsed: tuple[RequestResponseCycle, Any] | None = None
    """The request in the packet that is being parsed, and its application."""
    _answering: Answering | None = None
    _early = b""
    """What the client sent while its request was being answered."""
    _is_last = False
    """Whether to close the connection after the answer."""

    def data_received(self, data: bytes) -> None:
        """Answer a request that repeats the head of the one before, or parse the bytes."""
        if self._answering is not None:
            self._early += data
            self.flow.pause_reading()
            return
        is_fresh = self._stage is _IDLE
        head = self._head
        if head is not None and is_fresh and (found := head.pattern.match(data)) is not None:
            if not self._begin(head, found[1]):
                super().data_received(data)
            return
        previous = self.cycle
        self._is_parsing = True
        super().data_received(data)
        self._is_parsing = False
        if self._parsed is None:
            return
        (cycle, app), self._parsed = self._parsed, None
        if is_fresh and self._stage is _IDLE and self._takes_short_cut(data, cycle, previous):
            return
        super()._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._is_parsing:
            self._parsed = cycle, app  # until it is known whether all of the request is there
        else:
            super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the closing of the connection."""
        super().connection_lost(exc)
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.client_gone()

    def shutdown(self) -> None:
        """Close the connection, after the answer to a request in progress."""
        if self._answering is None:
            super().shutdown()
        else:
            self._is_last = True

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it was idle for the full keep-alive time."""
        if self._answering is None:
            super().timeout_keep_alive_handler()
        else:
            self.timeout_keep_alive_task = None  # the end of the answer sets the next one

    # --- for the application

    @property
    def takes_data(self) -> bool:
        """Whether the client reads as fast as it is sent to."""
        return not self.flow.write_paused

    def expect(self, answering: Answering) -> None:
        """Wait until the answer calls `respond` or `hand_over`."""
        self._answering = answering

    def respond(self, headers: bytes, body: bytes) -> None:
        """Send a response with status 200. `headers` has a line for each header."""
        self._answering = None
        default = _lines(self.server_state.default_headers)
        self.transport.write(b"".join((_OK, default, headers, b"\r\n", body)))
        self._active_at = self.loop.time()
        self.server_state.total_requests += 1
        if self._is_last:
            self.transport.close()
        elif self.timeout_keep_alive_task is None:
            self._set_keep_alive(self.timeout_keep_alive)
        if self._early:
            self._continue_reading()

    def hand_over(self, app: ASGIApp) -> None:
        """Let an ASGI application answer. It receives no body, but the disconnect of the client."""
        assert self._head is not None
        self._answering = None
        self.cycle = Cycle(
            scope=self._head.scope(self.app_state.copy()),  # type: ignore[arg-type]
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=not self._is_last,
            on_response=self.on_response_complete,
        )
        self.cycle.more_body = False
        self._start_asgi_task(self.cycle, app)
        if self._early:
            self._continue_reading()

    # ---

    def _begin(self, head: RequestHead, body: bytes) -> bool:
        """Offer a request to the application, unless an earlier one is in progress."""
        express = None if self.application is None else self.application.express
        if (
            express is None
            or self.flow.write_paused
            or self._is_refused
            or not (self.cycle is None or self.cycle.response_complete)
            or self.transport.is_closing()
        ):
            return False
        self._active_at = self.loop.time()
        return express.begin(self, head, body)

    def _takes_short_cut(
        self, data: bytes, cycle: RequestResponseCycle, previous: RequestResponseCycle | None
    ) -> bool:
        """Offer a request to the application that was parsed, if the packet had nothing else."""
        express = None if self.application is None else self.application.express
        if express is None or cycle.scope["path"] not in express.paths or cycle is not self.cycle:
            return False
        self._head = head = RequestHead.of(data, cycle.scope) if cycle.keep_alive else None
        if head is None or len(cycle.body) > _MAX_BODY_BYTES:
            return False
        self.cycle = previous  # type: ignore[assignment] # None before the first request
        if self._begin(head, bytes(cycle.body)):
            return True
        self.cycle = cycle
        return False

    def _continue_reading(self) -> None:
        early, self._early = self._early, b""
        self.flow.resume_reading()
        if not self.transport.is_closing():
            self.data_received(early)


_default: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")


def _lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the lines of the default headers. The server replaces the list each second."""
    global _default  # noqa: PLW0603 — shared by the connections of the process
    if _default[0] is not headers:
        _default = headers, b"".join(b"%b: %b\r\n" % header for header in headers)
    return _default[1]
