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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from service.core import tasks
from service.core.errors import ApiError, BadGateway, GatewayTimeout, Unavailable
from service.inference.headers import STOPPING
from service.inference.upstreams.connection import (
    Connection,
    ConnectionLost,
    NotHttp,
    ResponseTimeout,
)
from service.inference.upstreams.discovery import split_name

log = logging.getLogger(__name__)

# Below the 75 s after which the engine closes an idle connection (see engine/launch.py), so that
# no request is sent on a connection that is being closed.
_KEEPALIVE_S = 30.0
_MAX_IDLE = 512  # idle connections kept per engine
_TICK_S = 0.25
_HEALTH_BYTES = 4096
# The guard's error code (engine/guard.py), also used in its health check's response.
_ASLEEP = b'"engine_sleeping"'
_STOPPING = STOPPING.encode()
_FAILURES = (ConnectionLost, NotHttp, ResponseTimeout)


def header_lines(headers: Mapping[str, str]) -> str:
    """Return the headers of a request to an engine as lines of HTTP."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


class NotSent(Exception):
    """No byte of the request reached the engine, so another engine can be tried."""


class Refused(NotSent):
    """The engine takes no more requests, because it stops."""


@dataclass(frozen=True)
class Timeouts:
    """Time limits for an engine, in seconds."""

    connect_s: float = 5.0
    # Without streaming, the first byte arrives when the complete answer is ready.
    first_byte_s: float = 600.0
    between_chunks_s: float = 120.0


class Answer:
    """A request that is sent to an engine, and its response. Close it after use.

    Either await `wait_for_status()` and then `read()`, or `listen`.
    """

    __slots__ = (
        *("_connection", "_failed", "_is_closed", "_pool", "_started", "_timeouts"),
        *("is_asleep", "on_close"),
    )

    def __init__(self, connection: Connection, pool: _Pool, timeouts: Timeouts) -> None:
        self._connection = connection
        self._pool = pool
        self._timeouts = timeouts
        self._started = self._is_closed = False
        self._failed: ApiError | NotSent | None = None
        self.is_asleep = False
        """Whether the response is that of a sleeping engine."""
        self.on_close: Callable[[Answer], None] | None = None
        """Called once, when the exchange ends."""

    @property
    def status(self) -> int:
        """Status of the response; 0 until it is known."""
        return self._connection.status

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Response headers. Names are in lower case."""
        return self._connection.headers

    @property
    def ended(self) -> bool:
        """Whether all bytes have been read."""
        return self._connection.ended

    @property
    def is_refused(self) -> bool:
        """Whether the engine took no request, because it stops. Another engine can be tried."""
        return self._connection.status == 503 and _STOPPING in self._connection.headers

    @property
    def failure(self) -> ApiError | NotSent | None:
        """Why the rest of the response cannot be received."""
        error = self._connection.error
        if error is not None and self._failed is None:
            self._failed = self._failure(error)
        return self._failed

    def listen(self, listener: Callable[[], object] | None) -> None:
        """Call `listener` when a part of the response arrives, or not in time, or never will.

        Call it again after each part, which sets the time limit of the next. None ends this.
        """
        if listener is None:
            self._connection.listen(None)
        else:
            self._connection.listen(listener, self._wait_s)

    def read_nowait(self) -> bytes:
        """Return the bytes that are already available."""
        chunk = self._connection.read_nowait()
        if chunk:
            self._started = True
        return chunk

    async def wait_for_status(self) -> None:
        """Wait for the status. Raises NotSent, GatewayTimeout, Unavailable or BadGateway."""
        try:
            await self._connection.wait_for_status(self._wait_s)
        except _FAILURES as e:
            raise self.failure or e from e
        if self.is_refused:
            raise Refused("it stops")

    async def read(self) -> bytes:
        """Return the next bytes as received; empty at the end.

        Raises GatewayTimeout if none arrive in time, and Unavailable if the engine dies.
        """
        try:
            chunk = await self._connection.read(self._wait_s)
        except _FAILURES as e:
            raise self.failure or e from e
        self._started = True
        return chunk

    async def read_all(self, limit_bytes: int) -> bytes:
        """Read the body up to a limit.

        Raises GatewayTimeout if it does not arrive in time, and Unavailable if the engine dies.
        """
        chunks, size = [], 0
        while size < limit_bytes and (chunk := await self.read()):
            chunks.append(chunk)
            size += len(chunk)
        body = b"".join(chunks)[:limit_bytes]
        self.note_error(body)
        return body

    def note_error(self, body: bytes) -> None:
        """Look at the body of an error. A sleeping engine should get no more requests."""
        self.is_asleep = self.status == 503 and _ASLEEP in body

    def close(self) -> None:
        """End the exchange. If unread bytes remain, the connection is closed and vLLM stops."""
        if not self._is_closed:
            self._is_closed = True
            if self.on_close is not None:
                self.on_close(self)
            self._connection.listen(None)
            self._pool.put_back(self._connection)

    @property
    def _wait_s(self) -> float:
        t = self._timeouts
        return t.between_chunks_s if self._started else t.first_byte_s

    def _failure(self, error: Exception) -> ApiError | NotSent:
        if self._connection.is_unsent:
            return NotSent(type(error).__name__)
        return _failure(self._pool.url, error, self._wait_s)


class EngineClient:
    """Posts to engines over pooled connections. Use it as `async with EngineClient(…)`."""

    def __init__(self, timeouts: Timeouts, *, api_key: str | None = None) -> None:
        self._timeouts = timeouts
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

    async def post(self, url: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post the body to the engine at `url`. The caller must `close()` the answer.

        Raises NotSent, GatewayTimeout, Unavailable or BadGateway.
        """
        pool = self._pool(url)
        head = self._head(pool, path, header_lines(headers), len(body))
        return await self._exchange(pool, head, body)

    def begin(self, url: str, path: str, body: bytes, lines: str) -> Answer | None:
        """Post the body on an idle connection, or return None if there is none.

        `lines` are those of the headers. The answer has not arrived yet.
        """
        pool = self._pool(url)
        connection = pool.take()
        if connection is None:
            return None
        connection.begin(self._head(pool, path, lines, len(body)), body)
        return Answer(connection, pool, self._timeouts)

    def _head(self, pool: _Pool, path: str, lines: str, body_bytes: int) -> bytes:
        start = pool.heads.get(path)
        if start is None:
            start = f"POST {path} HTTP/1.1\r\nhost: {pool.host}\r\n{self._headers}"
            pool.heads[path] = start
        return f"{start}{lines}content-length: {body_bytes}\r\n\r\n".encode("latin-1")

    async def is_healthy(self, url: str, *, timeout_s: float) -> bool:
        """Return whether the engine at `url` passes its health check in time."""
        found = await self.get(url, "/health", limit_bytes=_HEALTH_BYTES, timeout_s=timeout_s)
        return found is not None

    async def get(self, url: str, path: str, *, limit_bytes: int, timeout_s: float) -> bytes | None:
        """Return the body of the engine's response, or None if it is not 200 or not in time."""
        pool = self._pool(url)
        head = f"GET {path} HTTP/1.1\r\nhost: {pool.host}\r\n\r\n".encode("latin-1")
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._exchange(pool, head, b"")
                try:
                    body = await answer.read_all(limit_bytes)
                finally:
                    answer.close()
        except (NotSent, ApiError, TimeoutError):
            return None
        return body if answer.status == 200 else None

    async def _exchange(self, pool: _Pool, head: bytes, body: bytes) -> Answer:
        """Send a request, on a new connection if none is idle or all turn out to be closed."""
        while True:
            kept = pool.take()
            connection = kept or await pool.connect(self._timeouts.connect_s)
            connection.begin(head, body)
            answer = Answer(connection, pool, self._timeouts)
            try:
                await answer.wait_for_status()
            except BaseException as e:
                answer.close()
                if kept is None or not isinstance(e, NotSent) or isinstance(e, Refused):
                    raise
            else:
                return answer

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
        t = self._timeouts
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
        at, self._name = split_name(url)
        self.host = urlsplit(at).netloc
        if self._name:
            self.host = self._name + (f":{parts.port}" if parts.port else "")
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
                    lambda: connection,
                    self._hostname,
                    self._port,
                    ssl=self._ssl,
                    server_hostname=self._name if self._ssl else None,
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
            connection.end_exchange()
            self._idle.append(connection)
        else:
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
    if isinstance(error, ResponseTimeout):
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
