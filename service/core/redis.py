"""The connection to Redis (or Valkey), with arq's enqueue on it.

Redis is the one store of records, so a short outage must not fail what can wait: the
api retries for about a second and then answers 503; the worker, which holds a training,
goes on trying for minutes. A Redis that hangs is taken for away after seconds.
"""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
    WatchError,
)

from service.core import metrics
from service.core.redis_connection import PatientRetry
from service.core.sentinel import pool_of

T = TypeVar("T")

# Redis is away, refuses a write (no replica, no memory, no disk: a ResponseError), or lost the
# connection of a transaction (a WatchError). Each may be over in a moment.
REDIS_ERRORS = (ConnectionError, TimeoutError, ResponseError, WatchError, OSError)
_CODE = re.compile(r"[A-Z]{3,}\b")
_REFUSALS = frozenset({"NOREPLICAS", "MISCONF", "OOM", "READONLY", "MASTERDOWN", "TRYAGAIN"})
_QUEUE_ENTRY_LIFETIME_MS = 90 * 24 * 3600 * 1000  # a queue may be long; arq's default is a day


class Client(ArqRedis):
    """arq's client. Its errors name no arguments of commands, for these hold records.

    `patience_s`: how long a write goes on trying while Redis refuses it.
    """

    def __init__(self, *args: Any, patience_s: float = 0.0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.patience_s = patience_s

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """redis-py's pipeline."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    def annotate_exception(
        self, exception: Exception, number: int, command: Iterable[object]
    ) -> None:
        """Add the command's place and name to a refusal. redis-py adds the whole command."""
        name = next(iter(command), b"")
        name = name.decode() if isinstance(name, bytes) else name
        exception.args = (f"{exception} (command {number}: {name})", *exception.args[1:])


def is_refusal(error: ResponseError) -> bool:
    """Whether Redis may accept the same command in a moment."""
    code = _CODE.match(str(error))
    return isinstance(error, OutOfMemoryError | ReadOnlyError) or (
        code is not None and code.group() in _REFUSALS
    )


def why(error: BaseException) -> str:
    """The reason for a log line: the error's type, and Redis' own code where it gave one."""
    code = _CODE.match(str(error)) if isinstance(error, ResponseError) else None
    return f"{type(error).__name__} {code.group()}" if code else type(error).__name__


def to_json(value: Any) -> bytes:
    """arq's serializer: JSON, never pickle, so that a queue entry can run no code."""
    return json.dumps(value, separators=(",", ":"), default=str).encode()


def from_json(value: bytes) -> Any:
    """arq's deserializer."""
    return json.loads(value)


def connect(
    url: str,
    *,
    retries: int = 4,
    max_connections: int = 64,
    timeout_s: float = 2.0,
    patience_s: float = 1.5,
) -> Client:
    """A client that retries lost connections `retries` times, waiting up to 1 s between.

    No try is begun after `patience_s`. `timeout_s` bounds the wait for a connection, for a free
    one of the pool, and for each answer: with the defaults a Redis that hangs is an error after
    2 s, and after 4 s where all connections are in use.

    `url` is one server's, or Sentinel's (see sentinel.py).

    Nothing is opened before the first command. `max_connections` are shared by waiting
    for a free one, so that a burst of requests queues here and does not exhaust Redis.
    """
    pool = pool_of(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        answer_timeout_s=timeout_s,
        socket_connect_timeout=2 * timeout_s,  # the bound of our connections is shorter
        socket_keepalive=True,
        health_check_interval=30,
        retry=PatientRetry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries, patience_s),
        # A server that restarts refuses connections, which redis-py would not try again.
        retry_on_error=[ConnectionError, TimeoutError, BusyLoadingError, ConnectionRefusedError],
        redis_connect_func=_counting_reconnects(),
    )
    return Client(
        pool,
        job_serializer=to_json,
        job_deserializer=from_json,
        expires_extra_ms=_QUEUE_ENTRY_LIFETIME_MS,
        patience_s=patience_s,
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
