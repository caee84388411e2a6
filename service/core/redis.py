"""The connection to Redis (or Valkey), with arq's enqueue on it.

Redis is the one store of records, so a short outage must not fail what can wait: the
api retries for about a second and then answers 503; the worker, which holds a training,
goes on trying for minutes.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from arq.connections import ArqRedis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError

from service.core import metrics
from service.core.sentinel import pool_of

T = TypeVar("T")

REDIS_ERRORS = (ConnectionError, TimeoutError, BusyLoadingError, OSError)
_QUEUE_ENTRY_LIFETIME_MS = 90 * 24 * 3600 * 1000  # a queue may be long; arq's default is a day


def to_json(value: Any) -> bytes:
    """arq's serializer: JSON, never pickle, so that a queue entry can run no code."""
    return json.dumps(value, separators=(",", ":"), default=str).encode()


def from_json(value: bytes) -> Any:
    """arq's deserializer."""
    return json.loads(value)


def connect(
    url: str, *, retries: int = 4, max_connections: int = 64, timeout_s: float = 5.0
) -> ArqRedis:
    """A client that retries lost connections `retries` times, waiting up to 1 s between.

    `url` is one server's, or Sentinel's (see sentinel.py).

    Nothing is opened before the first command. `max_connections` are shared by waiting
    for a free one, so that a burst of requests queues here and does not exhaust Redis.
    """
    pool = pool_of(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries),
        # A server that restarts refuses connections, which redis-py would not try again.
        retry_on_error=[ConnectionError, TimeoutError, BusyLoadingError, ConnectionRefusedError],
        redis_connect_func=_counting_reconnects(),
    )
    return ArqRedis(
        pool,
        job_serializer=to_json,
        job_deserializer=from_json,
        expires_extra_ms=_QUEUE_ENTRY_LIFETIME_MS,
    )


def _counting_reconnects() -> Callable[[AbstractConnection], Awaitable[None]]:
    """redis-py's own greeting of a new connection; one that was open before is counted."""
    known: weakref.WeakSet[AbstractConnection] = weakref.WeakSet()

    async def greet(connection: AbstractConnection) -> None:
        await connection.on_connect()
        if connection in known:
            metrics.REDIS_RECONNECTS.cell().value += 1
        known.add(connection)

    return greet


async def reply(answer: Awaitable[T] | T) -> T:
    """Await a command's answer; redis-py types some as maybe synchronous, none of ours is."""
    return await answer if isinstance(answer, Awaitable) else answer


def text(value: bytes | str) -> str:
    """What Redis keeps as bytes, as text."""
    return value.decode() if isinstance(value, bytes) else value
