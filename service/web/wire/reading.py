"""uvicorn's httptools protocol with limits on the size and speed of requests.

uvicorn keeps headers of any size in memory and waits forever for the rest of a request. Here a head
has a size limit and a time limit, and a body must arrive at a minimum rate. A total time limit for
bodies would cut off large uploads over slow connections. Each route limits its body's size.
"""

from __future__ import annotations

import asyncio
import enum
import json
import logging

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.core import ids, metrics
from service.core.errors import ApiError, RequestTimeout
from service.core.metric_types import OTHER
from service.web.safe_headers import SAFE
from service.web.wire import head
from service.web.wire.crowds import Crowds

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


class BoundedProtocol(HttpToolsProtocol):
    """A client connection. A request over a limit is answered, then the connection closed."""

    client_timeout_s = 60.0
    crowds: Crowds | None = None
    """Counts the connections of each address."""

    _host: str | None = None
    """Address that `crowds` counts this connection for."""
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
    _previous: RequestResponseCycle | None = None
    """The request before the latest one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Handle a new client connection."""
        super().connection_made(transport)
        if self.crowds is None or self.client is None:
            return
        self._host = self.client[0]
        if self.crowds.enter(self._host):
            if self.crowds.is_flood(self._host):
                self.transport.abort()
            else:
                self._refuse(self.crowds.refusal())

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the closing of the connection."""
        super().connection_lost(exc)
        if self.crowds is not None and self._host is not None:
            self.crowds.leave(self._host)
            self._host = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        """Parse received bytes. Most requests arrive complete in one packet and need no timer."""
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        if self._stage is _IDLE:
            self._stage, self._held_bytes = _HEAD, 0
        self._fed_bytes, self._is_fresh = len(data), False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._unsupported_upgrade_warning()
        except httptools.HttpParserError as e:
            cause = e.__context__
            self._refuse(cause if isinstance(cause, ApiError) else head.malformed())
            return
        if self._stage is not _IDLE:
            self._wait_for_more()
        elif self._timer is not None:
            self._set_timer()

    def _wait_for_more(self) -> None:
        """Check limits and set the timer of an incomplete request."""
        self._held_bytes = 0 if self._is_fresh else self._held_bytes + self._fed_bytes
        if self._held_bytes > head.MAX_HEAD_BYTES:
            self._refuse(head.too_large())
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
        if began_earlier or self._fed_bytes > head.MAX_HEAD_BYTES:
            head.check_size(self.url, self.headers)
        head.check_headers(self.headers, self.parser)
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
            head.check_trailers(self.headers)
        self._stage = _IDLE
        super().on_message_complete()

    # --- timers

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
        earlier: RequestResponseCycle | None = self.cycle
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
