"""Connects to Redis, one server or Sentinel's master, with a time limit for each reply.

redis-py's own `socket_timeout` sends with asyncio.wait_for, which before Python 3.12 can swallow a
cancellation: a canceled task would continue.

    redis+sentinel://[USER]:PASSWORD@HOST:26379,HOST:26379/MASTER[/DB][?sentinel_password=…]

`rediss+sentinel://` uses TLS for servers and sentinels. Other query options are redis-py's own,
such as `ssl_ca_certs`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import AbstractBackoff, NoBackoff
from redis.exceptions import ConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

T = TypeVar("T")
# If this process itself stalled, a reply may have arrived unread. The reader may still take it
# before the connection is closed.
_GRACE_S = 0.05


class NoAnswer(ConnectionError, RedisTimeoutError):
    """Redis holds the connection but does not reply. The connection is closed."""


class Bounded(AbstractConnection):
    """Treats a connection as lost if it is silent for `answer_timeout_s`.

    The limit applies to each reply and each send. A read with its own timeout, such as a
    subscription's, keeps that timeout.
    """

    def __init__(self, *, answer_timeout_s: float, **options: Any) -> None:
        super().__init__(**options)
        self.answer_timeout_s = answer_timeout_s

    async def on_connect(self) -> None:
        """Perform the handshake with the server."""
        # redis-py would check the health of a new connection, replace it if it is silent, check the
        # health of the next one, and so on without end.
        now_s = asyncio.get_running_loop().time()
        self.next_health_check = now_s + self.health_check_interval
        await super().on_connect()

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Send a command, after connecting or checking the connection if necessary."""
        # Both retry repeatedly, so the time limit must not include them.
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]
        elif check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        await self._bounded(super().send_packed_command(command, check_health=False))

    async def read_response(
        self, disable_decoding: bool = False, timeout: float | None = None, **options: Any
    ) -> Any:
        """Read one reply."""
        reading = super().read_response(disable_decoding, timeout, **options)
        return await (reading if timeout is not None else self._bounded(reading))

    async def _connect(self) -> None:
        await self._bounded(super()._connect())  # type: ignore[no-untyped-call, safe-super]

    async def _bounded(self, doing: Awaitable[T]) -> T:
        writer, loop = self._writer, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as limit:
                timer = loop.call_later(
                    self.answer_timeout_s, lambda: limit.reschedule(loop.time() + _GRACE_S)
                )
                try:
                    return await doing
                finally:
                    timer.cancel()
        except TimeoutError:
            # redis-py has closed the connection, but would still send its buffered data.
            if writer is not None:
                writer.transport.abort()
            raise NoAnswer(f"no answer from Redis for {self.answer_timeout_s:g} s") from None


class _Tcp(Bounded, Connection):
    pass


class _Tls(Bounded, SSLConnection):
    pass


class _UnixSocket(Bounded, UnixDomainSocketConnection):
    pass


_BOUNDED: dict[type[AbstractConnection], type[Bounded]] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _UnixSocket,
}


def bounded(kind: type[AbstractConnection]) -> type[Bounded]:
    """Return the time-limited variant of a redis-py connection class."""
    return _BOUNDED[kind]


class PatientRetry(Retry):
    """Retries up to `retries` times, but not after `patience_s` have passed."""

    def __init__(self, backoff: AbstractBackoff, retries: int, patience_s: float) -> None:
        super().__init__(backoff, retries)
        self._patience_s = patience_s

    async def call_with_retry(
        self, do: Callable[[], Awaitable[T]], fail: Callable[[Any], Any]
    ) -> T:
        """Return the result of `do`. Raises its last error."""
        until = time.monotonic() + self._patience_s

        async def fail_in_time(error: Exception) -> None:
            await fail(error)
            if time.monotonic() >= until:
                raise error

        return await super().call_with_retry(do, fail_in_time)


_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_PORT = 26379


def create_pool(url: str, **options: Any) -> ConnectionPool:
    """Create a pool that waits for a free connection, to one server or to Sentinel's master.

    Opens nothing. Raises ValueError if the URL names no hosts or no master.
    """
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        server: dict[str, Any] = dict(parse_url(url))
        server["connection_class"] = bounded(server.get("connection_class", Connection))
        return BlockingConnectionPool(**{**options, **server})
    hosts, master, server = _parse(url, _SCHEMES[scheme])
    sentinel_options = {k: v for k, v in options.items() if k.startswith("socket_")}
    for name in ("username", "password"):
        if (value := server.pop(f"sentinel_{name}", None)) is not None:
            sentinel_options[name] = value
    if scheme == "rediss+sentinel":
        sentinel_options |= {"ssl": True} | {
            k: v for k, v in server.items() if k.startswith("ssl_")
        }
    kind = _TlsConnection if scheme == "rediss+sentinel" else _Connection
    # redis-py does not type these.
    sentinel = Sentinel(hosts, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    for client in sentinel.sentinels:
        # A sentinel that is down must not delay the query to the next one.
        asking = client.connection_pool
        asking.connection_class = bounded(asking.connection_class)
        asking.connection_kwargs["answer_timeout_s"] = options["answer_timeout_s"]
    server["connection_class"] = kind
    return _MasterPool(master, sentinel, **server, **options)  # type: ignore[no-untyped-call]


def _parse(url: str, scheme: str) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """Return the sentinels, the master's name, and the connection options for the servers."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    master, _, db = parts.path.strip("/").partition("/")
    if not hosts or not master:
        raise ValueError("Sentinel's URL must be redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB")
    server: dict[str, Any] = dict(parse_url(f"{scheme}://{user}{at}-/{db}?{parts.query}"))
    server.pop("host")
    server.pop("connection_class", None)  # the pool has its own
    return [_address(host) for host in hosts.split(",")], master, server


def _address(host: str) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    return parts.hostname or "", parts.port or _PORT


class _Connection(Bounded, SentinelManagedConnection):
    """Tries an address once, then asks for the master again.

    redis-py's own class uses the same retries for both. If the dead master's host does not even
    refuse connections, a worker would try it for minutes.
    """

    async def connect_to(self, address: tuple[str, int]) -> None:
        patient, self.retry = self.retry, Retry(NoBackoff(), 0)
        try:
            await super().connect_to(address)  # type: ignore[no-untyped-call]
        finally:
            self.retry = patient


class _TlsConnection(_Connection, SSLConnection):
    """The same connection over TLS."""


class _MasterPool(SentinelConnectionPool, BlockingConnectionPool):
    """A Sentinel pool that waits for a free connection, which redis-py does not provide."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:  # shutdown; otherwise the master has changed
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose(close_connection_pool=True)
