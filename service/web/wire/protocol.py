"""The server's side of a client connection: uvicorn's protocol with limits and callback handlers.

All code that relies on private parts of uvicorn is in this module.

- uvicorn keeps headers of any size in memory and waits forever for the rest of a request. Here a
  head has a size limit and a time limit, and a body must arrive at a minimum rate. A total time
  limit for bodies would cut off large uploads over slow connections. Each route limits its body's
  size.
- uvicorn parses each request and starts a task for it. An application may handle small requests by
  callbacks instead (`Handler`). If such a request repeats the head of the one before it on the
  connection, it is not even parsed.
- uvicorn sets a timer after each response. Here a running timer is kept.
"""

from __future__ import annotations

import asyncio
import enum
import json
import logging
from typing import Any, ClassVar, Final, Self, cast
from typing import Protocol as Interface

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.core import ids, metrics
from service.core.errors import ApiError, RequestTimeout
from service.core.metric_types import OTHER
from service.web.security_headers import SAFE
from service.web.wire import heads
from service.web.wire.connection_limits import ConnectionLimits
from service.web.wire.heads import RequestHead
from service.web.wire.write_batcher import JoinedWrites

log = logging.getLogger(__name__)

MIN_BODY_BYTES_PER_S = 240
"""Minimum body rate: the default of Kestrel, ASP.NET's server.

Every connection that is usable for uploads is faster.
"""

_LINGER_S = 5.0
"""Time that a rejected client may keep sending, so that it can read the error before a reset."""


class Stage(enum.Enum):
    """The part of a request that is expected next."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()


_IDLE, _HEAD, _BODY = Stage  # read several times per request
_MAX_HANDLED_BYTES: Final = 64 * 1024  # of a body that is read before its sender is authenticated


class Responder(Interface):
    """Prepares a response, and receives changes of the client's state."""

    def client_gone(self) -> None:
        """The client disconnected, so nobody waits for the response."""
        ...

    def client_ready(self) -> None:
        """The client has read what was sent, after `is_slow` was true."""
        ...


class Handler(Interface):
    """An application that handles requests by callbacks."""

    @property
    def paths(self) -> frozenset[str]:
        """The paths of these requests."""
        ...

    def handle(self, request: HandledRequest) -> None:
        """Respond to a request now or later."""
        ...


class HasHandler(Interface):
    """An ASGI application that may have a handler."""

    @property
    def handler(self) -> Handler | None: ...


class _NoEvent:
    """Replaces the event that wakes a request's task in uvicorn, since there is no task."""

    def set(self) -> None:
        return


class HandledRequest:
    """A request without a task, and its response. It replaces uvicorn's cycle."""

    # Attributes that uvicorn reads and writes.
    disconnected = False
    waiting_for_100_continue = False
    more_body = False
    response_started = False
    response_complete = False
    keep_alive = True
    message_event: ClassVar = _NoEvent()

    responder: Responder | None = None
    """Informed about the client until the response is complete."""
    _is_chunked = False

    method = "POST"

    def __init__(self, connection: HttpProtocol, head: RequestHead, body: bytes) -> None:
        self._connection = connection
        self.head = head
        self.path = head.path
        self.body: bytes | None = body

    async def read(self, limit_bytes: int) -> bytes:
        """Return the body, which arrived before the request was handled."""
        return self.body or b""

    @property
    def scope(self) -> dict[str, Any]:
        """The ASGI scope of the request."""
        return self.head.scope(self._connection.app_state.copy())

    @property
    def is_slow(self) -> bool:
        """Whether to wait for `client_ready` before more is written."""
        return self._connection.flow.write_paused

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """Send a complete response. `headers` has a line for each header, such as the length."""
        self.response_started = True
        self._write(self._head(status, headers) + body)
        self._complete()

    def begin(self, status: int, headers: bytes, *, has_length: bool) -> None:
        """Send the head of a response. `has_length` says whether it has a Content-Length."""
        self.response_started = True
        self._is_chunked = not has_length
        if not has_length:
            headers += b"transfer-encoding: chunked\r\n"
        self._write(self._head(status, headers))

    def write(self, body: bytes) -> None:
        """Send a part of the body."""
        if body:
            self._write(b"%x\r\n%b\r\n" % (len(body), body) if self._is_chunked else body)

    def end(self, body: bytes = b"") -> None:
        """Send the last part of the body."""
        self.write(body)
        if self._is_chunked:
            self._write(b"0\r\n\r\n")
        self._complete()

    def abort(self) -> None:
        """Close the connection, which tells the client that the response is not complete."""
        self.responder = None
        transport = self._connection.transport
        if self.is_slow:  # what it did not read would keep the connection open
            transport.abort()
        else:
            transport.close()

    def _head(self, status: int, headers: bytes) -> bytes:
        connection = self._connection
        default = _lines(connection.server_state.default_headers)
        close = b"" if self.keep_alive else b"connection: close\r\n"
        return b"%b%b%b%b\r\n" % (STATUS_LINE[status], default, headers, close)

    def _write(self, data: bytes) -> None:
        if not self.disconnected:
            self._connection.transport.write(data)

    def _complete(self) -> None:
        self.responder = None
        self.response_complete = True
        if not self.keep_alive:
            self._connection.transport.close()
        self._connection.on_response_complete()


class HttpProtocol(HttpToolsProtocol):
    """A client connection. A request over a limit is answered, then the connection closed."""

    application: ClassVar[HasHandler | None] = None
    client_timeout_s = 60.0
    connection_limits: ConnectionLimits | None = None
    """Counts the connections of each address."""

    _host: str | None = None
    """Address that `connection_limits` counts this connection for."""
    _stage = _IDLE
    _timer: asyncio.TimerHandle | None = None
    _timed: Stage | None = _IDLE
    """Stage that `_timer` was set for."""
    _fed_bytes = 0
    """Size of the packet that is being parsed."""
    _held_bytes = 0
    """Bytes of earlier packets since the start of the head, or since the last body byte."""
    _is_fresh = False
    """Whether the current packet contains the start of a head, or a part of a body."""
    _body_bytes = 0
    """Body bytes since the timer was set."""
    _was_paused = False
    _lingers = False
    _is_refused = False
    _previous: RequestResponseCycle | HandledRequest | None = None
    """The request that the client sent before the latest one."""
    _active_at = 0.0
    _repeatable: RequestHead | None = None
    """Head of the latest request, if the next one may repeat it."""
    _arriving: tuple[RequestHead, RequestResponseCycle, Any] | None = None
    """A request for the handler, until its body is complete."""
    _handled: HandledRequest | None = None
    """The request that the handler responds to."""
    _unread: asyncio.TimerHandle | None = None
    """Timer of a client that does not read."""

    @classmethod
    def with_limits(
        cls,
        client_timeout_s: float,
        connection_limits: ConnectionLimits | None = None,
        **attributes: object,
    ) -> type[Self]:
        """Return a protocol class that gives clients this long to send a request."""
        limits = {"client_timeout_s": client_timeout_s, "connection_limits": connection_limits}
        return type(cls.__name__, (cls,), {**limits, **attributes})

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Handle a new client connection."""
        joined = JoinedWrites(cast("asyncio.Transport", transport), self.loop)
        super().connection_made(cast("asyncio.Transport", joined))
        self._active_at = self.loop.time()
        self._set_keep_alive(self.timeout_keep_alive)
        limits = self.connection_limits
        if limits is None or self.client is None:
            return
        self._host = self.client[0]
        if limits.enter(self._host):
            if limits.is_flood(self._host):
                self.transport.abort()
            else:
                self._refuse(limits.refusal())

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the closing of the connection."""
        super().connection_lost(exc)
        if self.connection_limits is not None and self._host is not None:
            self.connection_limits.leave(self._host)
            self._host = None
        for timer in (self._timer, self._unread, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._timer = self._unread = self.timeout_keep_alive_task = self._arriving = None
        if self._handled is not None:
            self._handled.disconnected = True
            if self._handled.responder is not None:
                self._handled.responder.client_gone()

    def pause_writing(self) -> None:
        """Wait for a client that does not read, for a limited time.

        Neither a response that is waiting to be sent nor a close would ever end otherwise.
        """
        super().pause_writing()
        self._await_reader()

    def _await_reader(self) -> None:
        unread_bytes = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(self.client_timeout_s, self._check_reader, unread_bytes)

    def _check_reader(self, unread_bytes: int) -> None:
        if self.transport.get_write_buffer_size() != unread_bytes:
            self._await_reader()  # it reads, but slowly
        else:
            self.transport.abort()

    def resume_writing(self) -> None:
        """Continue to write to a client that has read what was sent."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        if self._handled is not None and self._handled.responder is not None:
            self._handled.responder.client_ready()

    def data_received(self, data: bytes) -> None:
        """Handle a request that repeats the head of the one before, or parse the bytes."""
        if self._is_refused:
            return
        self._active_at = self.loop.time()
        is_fresh = self._stage is _IDLE
        head = self._repeatable
        if (
            head is not None
            and is_fresh
            and (found := head.pattern.match(data)) is not None  # type: ignore[union-attr]
            and (self.cycle is None or self.cycle.response_complete)
            and (handler := self._handler_of(head.path)) is not None
        ):
            self._handled = request = HandledRequest(self, head, found[1])
            self.cycle = request  # type: ignore[assignment]
            handler.handle(request)
            return
        self._repeatable = None
        self._parse(data)
        if self._arriving is not None:
            self._handle_arrived(data if is_fresh and self._stage is _IDLE else b"")

    def _parse(self, data: bytes) -> None:
        """Parse received bytes. Most requests arrive complete in one packet and need no timer."""
        if self._stage is _IDLE:
            self._stage, self._held_bytes = _HEAD, 0
        self._fed_bytes, self._is_fresh = len(data), False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()
        except httptools.HttpParserError as e:
            cause = e.__context__
            self._refuse(cause if isinstance(cause, ApiError) else heads.malformed())
            return
        if self._stage is not _IDLE:
            self._wait_for_more()
        elif self._timer is not None:
            self._set_timer()

    def _wait_for_more(self) -> None:
        """Check limits and set the timer of an incomplete request."""
        self._held_bytes = 0 if self._is_fresh else self._held_bytes + self._fed_bytes
        if self._held_bytes > heads.MAX_HEAD_BYTES:
            self._refuse(heads.too_large())
            return
        if self._stage is not self._timed:
            self._set_timer()
        self._body_bytes += self._fed_bytes

    # --- parser callbacks

    def on_message_begin(self) -> None:
        """Handle the start of a head."""
        self._stage, self._is_fresh = _HEAD, True
        if self._timer is not None:
            self._timed = None  # it was set for another request
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Check a complete head."""
        began_earlier = not self._is_fresh
        if began_earlier or self._fed_bytes > heads.MAX_HEAD_BYTES:
            heads.check_size(self.url, self.headers)
        heads.check_headers(self.headers, self.parser)
        self._previous = self.cycle
        super().on_headers_complete()
        self.headers = []  # collects trailers; the application has the list of headers
        self._stage = _BODY

    def on_body(self, body: bytes) -> None:
        """Handle a part of a body."""
        self._is_fresh = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Handle the end of a request."""
        if self.headers:
            heads.check_trailers(self.headers)
        self._stage = _IDLE
        super().on_message_complete()

    # --- requests of the handler

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start to answer a request whose head is complete, when all before it are answered."""
        if self._handler_of(cycle.scope["path"]) is not None and cycle.keep_alive:
            head = RequestHead.from_scope(cycle.scope)
            if head is not None and int(head.length) <= _MAX_HANDLED_BYTES:
                self._arriving = head, cycle, app
                if not cycle.more_body:  # it was sent before the response to an earlier one
                    self.loop.call_soon(self._handle_arrived)
                return
        super()._start_asgi_task(cycle, app)

    def _handler_of(self, path: str) -> Handler | None:
        """Return what handles requests to a path now, if anything does."""
        if self.application is None or (handler := self.application.handler) is None:
            return None
        # A task waits until the client reads.
        is_ready = not self.flow.write_paused and not self.transport.is_closing()
        return handler if is_ready and path in handler.paths else None

    def _handle_arrived(self, data: bytes = b"") -> None:
        """Handle a request if its body is complete. `data` is the packet with nothing else."""
        if self._arriving is None or self._arriving[1].more_body:
            return
        (head, cycle, app), self._arriving = self._arriving, None
        if cycle.disconnected:  # not if a later request was refused, which waits for this one
            return
        handler = self._handler_of(head.path)
        if handler is None:
            super()._start_asgi_task(cycle, app)
            return
        request = HandledRequest(self, head, bytes(cycle.body))
        request.keep_alive = cycle.keep_alive
        if cycle is self.cycle:  # no later request was sent already
            self.cycle = request  # type: ignore[assignment]
            if data:
                head.learn(data)
                self._repeatable = head if head.pattern is not None else None
        elif cycle is self._previous:
            self._previous = request
        self._handled = request
        handler.handle(request)

    def on_response_complete(self) -> None:
        """Handle the end of a response.

        A running timer is kept: when it expires, it checks the connection again.
        """
        self._handled = None
        self._active_at = self.loop.time()
        if self.timeout_keep_alive_task is None or self.pipeline:
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            if not self.transport.is_closing():
                self.flow.resume_reading()

    # --- timers

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

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed, self._lingers = self._stage, False
        if self._stage is not _IDLE:
            self._start_timer()

    def _start_timer(self) -> None:
        self._body_bytes, self._was_paused = 0, self.flow.read_paused
        self._timer = self.loop.call_later(self.client_timeout_s, self._look)

    def _look(self) -> None:
        """Check an incomplete request after its timer expired."""
        self._timer = None
        if self._is_refused:
            return
        late = self._head_is_late if self._stage is _HEAD else self._body_is_late
        if not late():
            self._start_timer()
        elif self._lingers:
            self.transport.close()
        else:
            self._refuse(
                RequestTimeout(
                    f"The request was not complete after {self.client_timeout_s:g} seconds. Send "
                    f"it without pauses."
                )
            )

    def _head_is_late(self) -> bool:
        # A stray line end after a request is not a request: the response continues.
        return self.cycle is None or self.cycle.response_complete

    def _body_is_late(self) -> bool:
        if self.cycle.response_complete:  # nothing reads the rest
            lingered, self._lingers = self._lingers, True
            return lingered
        if self.flow.read_paused or self._was_paused or self.cycle.waiting_for_100_continue:
            return False  # the service is the slow side
        return self._body_bytes < MIN_BODY_BYTES_PER_S * self.client_timeout_s

    # --- rejections

    def _refuse(self, error: ApiError) -> None:
        """Send an error and close the connection. Earlier requests are answered first."""
        self._is_refused = True
        if self.transport.is_closing():
            return
        earlier: RequestResponseCycle | HandledRequest | None = self.cycle
        has_begun = self._stage is _BODY  # the application may have started to respond
        if has_begun and self.pipeline:
            self.pipeline.popleft()
            earlier, has_begun = self._previous, False
        if earlier is None or earlier.response_complete:
            if has_begun:
                self.transport.close()
            else:
                self._answer(error)
                _count(error)
        elif not has_begun:
            earlier.keep_alive = False
        elif earlier.response_started:
            self.transport.close()
        else:
            earlier.disconnected = True
            earlier.message_event.set()
            self._answer(error)

    def _answer(self, error: ApiError) -> None:
        body = json.dumps(error.body()).encode()
        headers = [
            *self.server_state.default_headers,
            *((k.encode(), v.encode()) for k, v in error.headers.items()),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", ids.request_id().encode()),
            (b"connection", b"close"),
            *SAFE,
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[error.status], lines, body))
        self.transport.write_eof()
        self.flow.resume_reading()  # closing with unread bytes would reset the connection
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(_LINGER_S, self.transport.close)
        log.info("refused a request with %d: %s", error.status, error.code)


def _count(error: ApiError) -> None:
    """Count a request that did not reach the application."""
    metrics.HTTP_REQUESTS.cell(OTHER, "unmatched", str(error.status)).inc()


_default: tuple[list[tuple[bytes, bytes]], bytes] = ([], b"")


def _lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the lines of the default headers. The server replaces the list each second."""
    global _default  # noqa: PLW0603 — shared by the connections of the process
    if _default[0] is not headers:
        _default = headers, b"".join(b"%b: %b\r\n" % header for header in headers)
    return _default[1]
