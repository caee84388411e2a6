"""Small HTTP client for requests from the gateway to an engine.

A request that was certainly not sent raises `NotSent`. After that the engine may have started to
work, and every failure is an `ApiError` for the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from service.core import tasks
from service.core.errors import ApiError, BadGateway, GatewayTimeout, Unavailable
from service.inference.upstreams.connection import Connection, ConnectionLost, NotHttp, Silent

log = logging.getLogger(__name__)

# Below the 75 s after which the engine closes an idle connection (see engine/launch.py), so that
# no request is sent on a connection that is being closed.
_KEEPALIVE_S = 30.0
_MAX_IDLE = 512  # idle connections kept per engine
_TICK_S = 0.25
_HEALTH_BYTES = 4096
_FAILURES = (ConnectionLost, NotHttp, Silent)

WholeAnswer = tuple[bytes, bytes, bytes]
"""The content type, the length as it was sent, and the body of a response."""


def header_lines(headers: Mapping[str, str]) -> str:
    """Return the headers of a request to an engine as lines of HTTP."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


class NotSent(Exception):
    """No byte of the request reached the engine, so another engine can be tried."""


@dataclass(frozen=True)
class Timeouts:
    """Time limits for an engine, in seconds."""

    connect_s: float = 5.0
    # Without streaming, the first byte arrives when the complete answer is ready.
    first_byte_s: float = 600.0
    between_chunks_s: float = 120.0


class EngineAnswer:
    """An engine's response with a known status and an unread body."""

    __slots__ = (
        *("_closed", "_connection", "_pool", "_started", "_timeouts"),
        *("headers", "on_close", "status"),
    )

    def __init__(self, connection: Connection, pool: _Pool, timeouts: Timeouts) -> None:
        self._connection = connection
        self._pool = pool
        self._timeouts = timeouts
        self._started = self._closed = False
        self.status = connection.status
        self.headers: Mapping[bytes, bytes] = connection.headers
        """Response headers. Names are in lower case."""
        self.on_close: Callable[[], None] | None = None

    @property
    def ended(self) -> bool:
        """Whether all bytes have been read."""
        return self._connection.ended

    def at_hand(self) -> bytes:
        """Return the bytes that are already available, as `read` would."""
        chunk = self._connection.at_hand()
        if chunk:
            self._started = True
        return chunk

    async def read(self) -> bytes:
        """Return the next bytes as received; empty at the end.

        Raises GatewayTimeout if none arrive in time, and Unavailable if the engine dies.
        """
        t = self._timeouts
        wait_s = t.between_chunks_s if self._started else t.first_byte_s
        try:
            chunk = await self._connection.read(wait_s)
        except _FAILURES as e:
            raise _failure(self._pool.url, e, wait_s) from e
        self._started = True
        return chunk

    async def read_all(self, limit_bytes: int) -> bytes:
        """Read the body up to a limit. Meant for error responses."""
        chunks, size = [], 0
        while size < limit_bytes and (chunk := await self.read()):
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)[:limit_bytes]

    def close(self) -> None:
        """End the exchange. If unread bytes remain, the connection is closed and vLLM stops."""
        if self._closed:
            return
        self._closed = True
        self._pool.put_back(self._connection)
        if self.on_close is not None:
            self.on_close()


class Posted:
    """A request that is sent, and whose response has not been read."""

    __slots__ = ("_body", "_head", "_is_retried", "_pool", "client", "connection")

    def __init__(
        self,
        client: EngineClient,
        pool: _Pool,
        connection: Connection,
        head: bytes,
        body: bytes,
        *,
        is_retried: bool = True,
    ) -> None:
        """`is_retried`: whether to send it again if the connection turns out to be closed."""
        self.client = client
        self._pool = pool
        self.connection = connection
        self._head = head
        self._body = body
        self._is_retried = is_retried

    def whole_answer(self) -> WholeAnswer | None:
        """Return the response and end the exchange, if all of it has arrived with status 200.

        It must have a length.
        """
        connection = self.connection
        headers = connection.headers
        length = headers.get(b"content-length")
        if length is None or (body := connection.whole()) is None:
            return None
        self._pool.put_back(connection)
        return headers.get(b"content-type", b"application/json"), length, body

    async def answer(self) -> EngineAnswer:
        """Wait for the response. The caller must `close()` it.

        Raises NotSent, GatewayTimeout, Unavailable or BadGateway.
        """
        t = self.client.timeouts
        connection, pool = self.connection, self._pool
        connection.ignore_reply()
        try:
            await connection.answered(t.first_byte_s)
        except _FAILURES as e:
            pool.drop(connection)
            if not connection.is_unsent:
                raise _failure(pool.url, e, t.first_byte_s) from e
            if not self._is_retried:
                raise NotSent(type(e).__name__) from e
        except BaseException:  # canceled: stop the engine's work
            pool.drop(connection)
            raise
        else:
            return EngineAnswer(connection, pool, t)
        return await self.client.exchange(pool, self._head, self._body)

    def abandon(self) -> None:
        """Close the connection. The engine notices and stops."""
        self.connection.ignore_reply()
        self._pool.drop(self.connection)


class EngineClient:
    """Posts to engines over pooled connections. Use it as `async with EngineClient(…)`."""

    def __init__(self, timeouts: Timeouts, *, api_key: str | None = None) -> None:
        self.timeouts = timeouts
        self._headers = "content-type: application/json\r\naccept-encoding: identity\r\n"
        if api_key is not None:
            self._headers += f"authorization: Bearer {api_key}\r\n"
        self._pools: dict[str, _Pool] = {}
        self._sweeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._sweeper = asyncio.create_task(
            tasks.keep("engine connections", self._sweep), name="engine-connections"
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sweeper is not None:
            await tasks.end(self._sweeper)
            self._sweeper = None
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def post(
        self, url: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Awaitable[EngineAnswer]:
        """Post the body to the engine at `url`. The caller must `close()` the answer.

        Raises NotSent, GatewayTimeout, Unavailable or BadGateway.
        """
        pool = self._pool(url)
        head = self._head(pool, path, header_lines(headers), len(body))
        return self.exchange(pool, head, body)

    def begin(self, url: str, path: str, body: bytes, lines: str) -> Posted | None:
        """Post the body on an idle connection, or return None if there is none.

        `lines` are those of the headers.
        """
        pool = self._pool(url)
        connection = pool.take()
        if connection is None:
            return None
        head = self._head(pool, path, lines, len(body))
        connection.begin(head, body)
        return Posted(self, pool, connection, head, body)

    def _head(self, pool: _Pool, path: str, lines: str, body_bytes: int) -> bytes:
        start = pool.heads.get(path)
        if start is None:
            start = f"POST {path} HTTP/1.1\r\nhost: {pool.host}\r\n{self._headers}"
            pool.heads[path] = start
        return f"{start}{lines}content-length: {body_bytes}\r\n\r\n".encode("latin-1")

    async def is_healthy(self, url: str, *, timeout_s: float) -> bool:
        """Return whether the engine at `url` passes its health check in time."""
        pool = self._pool(url)
        head = f"GET /health HTTP/1.1\r\nhost: {pool.host}\r\n\r\n".encode("latin-1")
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self.exchange(pool, head, b"")
                try:
                    await answer.read_all(_HEALTH_BYTES)
                finally:
                    answer.close()
        except (NotSent, ApiError, TimeoutError):
            return False
        return answer.status == 200

    async def exchange(self, pool: _Pool, head: bytes, body: bytes) -> EngineAnswer:
        """Send a request to an engine, on a new connection if none is idle."""
        kept = pool.take()
        connection = kept or await pool.connect(self.timeouts.connect_s)
        connection.begin(head, body)
        request = Posted(self, pool, connection, head, body, is_retried=kept is not None)
        return await request.answer()

    def _pool(self, url: str) -> _Pool:
        pool = self._pools.get(url)
        if pool is None:
            if self._sweeper is None:
                raise RuntimeError("EngineClient is not open: use it as an async context manager")
            pool = self._pools[url] = _Pool(url)
        return pool

    async def _sweep(self) -> None:
        """Expire overdue exchanges and close old connections.

        One task serves all, because a timer per request would cost more than the key lookup.
        """
        t = self.timeouts
        tick_s = min(_TICK_S, min(t.first_byte_s, t.between_chunks_s) / 4)
        while True:
            await asyncio.sleep(tick_s)
            now = asyncio.get_running_loop().time()
            for url, pool in list(self._pools.items()):
                pool.sweep(now)
                if pool.is_empty:
                    del self._pools[url]  # free the pool of a removed replica


class _Pool:
    """The connections to one engine."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"the engine's address is not an HTTP URL: {url!r}")
        self.url = url
        self.host = parts.netloc.rpartition("@")[2]
        self._hostname = parts.hostname
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._ssl else 80)
        self.heads: dict[str, str] = {}
        """Start of every request, by path. The gateway uses only a few paths."""
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._connecting = 0

    @property
    def is_empty(self) -> bool:
        return not self._idle and not self._busy and not self._connecting

    def take(self) -> Connection | None:
        """Take the most recently used idle connection, so that unneeded ones expire."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                self._busy.add(connection)
                return connection
        return None

    async def connect(self, timeout_s: float) -> Connection:
        """Open a new connection. Raises NotSent."""
        loop = asyncio.get_running_loop()
        connection = Connection(loop, self._lost)
        self._connecting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await loop.create_connection(
                    lambda: connection, self._hostname, self._port, ssl=self._ssl
                )
        except (OSError, TimeoutError) as e:
            raise NotSent(type(e).__name__) from e
        finally:
            self._connecting -= 1
        self._busy.add(connection)
        return connection

    def put_back(self, connection: Connection) -> None:
        """End an exchange. Keeps the connection if its response was read completely."""
        self._busy.discard(connection)
        if connection.reusable and len(self._idle) < _MAX_IDLE:
            connection.rest()
            self._idle.append(connection)
        else:
            connection.abort()

    def drop(self, connection: Connection) -> None:
        """End a failed exchange and close its connection."""
        self._busy.discard(connection)
        connection.abort()

    def sweep(self, now: float) -> None:
        """Expire exchanges that wait too long, and close connections that are idle too long."""
        for connection in [c for c in self._busy if c.deadline < now]:
            connection.expire()
        while self._idle and (
            self._idle[0].idle_since + _KEEPALIVE_S < now or not self._idle[0].is_open
        ):
            self._idle.popleft().abort()

    def close(self) -> None:
        """Close all connections, whether in use or not."""
        for connection in [*self._idle, *self._busy]:
            connection.abort()

    def _lost(self, connection: Connection) -> None:
        if connection not in self._busy:
            with contextlib.suppress(ValueError):
                self._idle.remove(connection)


def _failure(url: str, error: Exception, waited_s: float) -> ApiError:
    if isinstance(error, Silent):
        log.warning("engine %s sent nothing for %g s", url, waited_s)
        return GatewayTimeout(
            f"The engine sent nothing for {waited_s:g} seconds. Try again, with fewer tokens if "
            f"it happens again.",
            code="engine_timeout",
        )
    if isinstance(error, NotHttp):
        log.warning("engine %s sent an invalid HTTP response: %s", url, error)
        return BadGateway("The engine's response is not valid HTTP.")
    log.warning("the connection to engine %s was lost during a response: %s", url, error)
    return Unavailable(
        "The connection to the engine was lost during the response. Try again in a few seconds.",
        code="engine_lost",
    )
