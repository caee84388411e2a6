"""Redis behind Sentinel: a pool whose connections go to the current master.

    redis+sentinel://[USER]:PASSWORD@HOST:26379,HOST:26379/MASTER[/DB][?sentinel_password=…]

`rediss+sentinel://` uses TLS for servers and sentinels. Other query options are redis-py's own,
such as `ssl_ca_certs`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import NoBackoff

from service.core.redis_connection import Bounded, bounded

_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_PORT = 26379


def pool_of(url: str, **options: Any) -> ConnectionPool:
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
