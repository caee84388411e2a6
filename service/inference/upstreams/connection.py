"""A persistent HTTP/1.1 connection to an engine, parsed by httptools, one exchange at a time.

It is small on purpose: it posts JSON to servers that the operator runs, and reads the response as
it arrives. It does not support redirects, cookies, compression or upgrades. Its main task is
correct framing: a response is complete when its length or last chunk says so, and a connection in
doubtful state is never reused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from service.web.wire.heads import HeadPattern
from service.web.wire.write_batcher import WriteBatcher

MAX_HEADER_BYTES = 64 * 1024
_PAUSE_BYTES = 256 * 1024  # unread body bytes at which TCP backpressure starts
NO_DEADLINE = float("inf")


class ConnectionLost(Exception):
    """The engine closed the connection, or the network failed, before the response was complete."""


class NotHttp(Exception):
    """The received data is not an acceptable HTTP response."""


class ResponseTimeout(Exception):
    """Nothing arrived in time."""


# State of an exchange. Plain integers, because they are compared several times per request.
_IDLE = 0  # no exchange; data that arrives now is unexpected
_HEAD = 1  # a request was sent; its status has not arrived
_BODY = 2
_DONE = 3  # the response is complete


class Connection(asyncio.Protocol):
    """A connection as its pool sees it. Not thread-safe: use it in one event loop.

    Usage: `begin(request)` and `await wait_for_status()`, then read `status` and `headers`, then
    `await read()` until it returns b"". Or `listen`, and use `status`, `read_nowait()`, `ended` and
    `error` whenever the listener is called. `reusable` says whether another exchange can follow.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Connection], None]
    ) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._batcher = WriteBatcher.for_loop(loop)
        self._unsent = b""
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._state = _IDLE
        self._listener: Callable[[], object] | None = None
        self._chunks: list[bytes] = []
        self._unread_bytes = 0
        self._paused = False
        self.error: Exception | None = None
        """Why the response cannot be received: ConnectionLost, NotHttp or ResponseTimeout."""
        self._keep_alive = False
        self._header_bytes = 0
        self._until_close = False
        self._pattern: HeadPattern | None = None
        self._pattern_headers: dict[bytes, bytes] = {}
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.deadline = NO_DEADLINE
        self.idle_since = 0.0

    # --- for the pool

    @property
    def is_open(self) -> bool:
        """Whether the other side has not closed the connection, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_unsent(self) -> bool:
        """Whether no byte of the request has been passed to the operating system yet."""
        return bool(self._unsent)

    @property
    def reusable(self) -> bool:
        """Whether the last response was read completely and the engine keeps the connection."""
        transport = self._transport
        return (
            self._state == _DONE
            and self._keep_alive
            and self.error is None
            and not self._chunks
            and transport is not None
            and not transport.is_closing()
        )

    @property
    def ended(self) -> bool:
        """Whether all bytes of the response have been returned."""
        return self._state == _DONE and not self._chunks

    def begin(self, head: bytes, body: bytes) -> None:
        """Send a request. If that is not possible, `wait_for_status` raises the reason."""
        self._unsent = head + body
        self._state = _HEAD
        if not self.is_open:
            self.error = ConnectionLost("the connection is closed")
            return
        self._header_bytes = 0
        self._until_close = False
        self.status = 0
        self.headers = {}
        self._batcher.add(self._write)

    def listen(self, listener: Callable[[], object] | None, timeout_s: float = NO_DEADLINE) -> None:
        """Call `listener` whenever a part of the response arrives, or the exchange fails.

        The exchange fails if nothing arrives within `timeout_s`. None ends this.
        """
        self._listener = listener
        if listener is None:
            self.deadline = NO_DEADLINE
            return
        self.deadline = self._loop.time() + timeout_s
        if self.error is not None:
            self._loop.call_soon(self._wake)

    async def wait_for_status(self, timeout_s: float) -> None:
        """Wait for the status and headers of the response.

        Raises ConnectionLost, NotHttp or ResponseTimeout. The connection is unusable afterwards.
        """
        while self._state == _HEAD:
            await self._wait(timeout_s)

    async def read(self, timeout_s: float) -> bytes:
        """Return the available bytes of the body, or wait for the next ones; b"" at the end.

        Raises the same errors as `wait_for_status`.
        """
        while not self._chunks and self._state != _DONE:
            await self._wait(timeout_s)
        return self.read_nowait()

    def read_nowait(self) -> bytes:
        """Return the available bytes of the body; b"" if there are none."""
        chunks = self._chunks
        if not chunks:
            return b""
        self._chunks = []
        self._unread_bytes = 0
        if self._paused:
            self._paused = False
            assert self._transport is not None
            self._transport.resume_reading()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def end_exchange(self) -> None:
        """End the exchange before the connection returns to its pool."""
        self._state = _IDLE
        self.idle_since = self._loop.time()

    def abort(self) -> None:
        """Close the connection now, even during an exchange. The engine notices and stops."""
        if self._transport is not None:
            self._transport.abort()

    def expire(self) -> None:
        """Fail the exchange. The pool calls this when `deadline` has passed."""
        self._fail(ResponseTimeout())

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport of the new connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        """Parse received data."""
        if self._state == _IDLE or self._unsent:
            self.abort()  # unsolicited data is not trusted
            return
        if self._state == _HEAD:
            if self._repeats_head(data):
                self._wake()
                return
            self._header_bytes += len(data)
        was_head = self._state == _HEAD
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as e:
            self._fail(NotHttp(type(e).__name__))
            self._wake()  # data after a complete response does not affect it
            return
        if was_head and self._state == _DONE:
            self._learn_head(data)
        if self._state == _HEAD and self._header_bytes > MAX_HEADER_BYTES:
            self._fail(NotHttp("its headers do not end"))
        elif self._state != _HEAD:
            self._wake()
        if self._unread_bytes > _PAUSE_BYTES and not self._paused:
            self._paused = True
            assert self._transport is not None
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle a connection closed by either side."""
        self._on_lost(self)
        if self._state == _BODY and self._until_close and exc is None:
            self._state = _DONE  # a response without a length ends with its connection
            self._wake()
        elif self._state in {_HEAD, _BODY}:
            self._fail(ConnectionLost(type(exc).__name__ if exc else "closed"))

    # --- httptools

    def on_message_begin(self) -> None:
        """Handle the start of a response. A second one means that the two sides disagree."""
        if self._state != _HEAD:
            self.error = NotHttp("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header. Trailers are ignored."""
        if self._state == _HEAD:
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Store the status."""
        if self._state != _HEAD:
            return
        status = self._parser.get_status_code()
        if status < 200:  # an interim response; the final one follows
            self.headers = {}
            return
        self.status = status
        self._keep_alive = self._parser.should_keep_alive()
        headers = self.headers
        self._until_close = b"content-length" not in headers and b"transfer-encoding" not in headers
        self._state = _BODY

    def on_body(self, body: bytes) -> None:
        """Store a part of the body."""
        if self._state != _BODY:
            return
        self._chunks.append(body)
        self._unread_bytes += len(body)

    def on_message_complete(self) -> None:
        """Mark the response as complete."""
        if self._state == _BODY:
            self._state = _DONE

    # ---

    def _repeats_head(self, data: bytes) -> bool:
        """Take a response whose head is the one before, which the parser then does not see."""
        found = self._pattern and self._pattern.match(data)
        if not found or self._header_bytes:
            return False
        length, body = found
        self.status = 200
        self.headers = {**self._pattern_headers, b"content-length": length}
        self._chunks.append(body)
        self._unread_bytes = len(body)
        self._state = _DONE
        return True

    def _learn_head(self, data: bytes) -> None:
        """Remember the head of a complete response, if the next one may repeat it."""
        self._pattern = None
        if self._keep_alive and self.error is None and data.startswith(b"HTTP/1.1 200 "):
            self._pattern = HeadPattern.from_message(data, self.headers)
            self._pattern_headers = self.headers

    def _write(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            unsent, self._unsent = self._unsent, b""
            transport.write(unsent)

    async def _wait(self, timeout_s: float) -> None:
        if self.error is not None:
            raise self.error
        changed = asyncio.Event()
        self.listen(changed.set, timeout_s)
        try:
            await changed.wait()
        finally:
            self.listen(None)

    def _wake(self) -> None:
        if self._listener is not None:
            self._listener()

    def _fail(self, error: Exception) -> None:
        is_first, self.error = self.error is None, self.error or error
        self.abort()  # closing the connection is no second failure
        if is_first and self._state != _DONE:
            self._wake()
