"""Connections to Redis that wait for an answer only so long.

redis-py's own `socket_timeout` sends by asyncio.wait_for, which before Python 3.12 can swallow
a cancellation: a task that is told to end would go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import AbstractBackoff
from redis.exceptions import ConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

T = TypeVar("T")
# Where this process itself stood still, an answer may be there that nobody has read: its reader
# has its turn before the connection is given up.
_GRACE_S = 0.05


class NoAnswer(ConnectionError, RedisTimeoutError):
    """Redis holds the connection and does not answer on it. The connection is closed."""


class Bounded(AbstractConnection):
    """Takes a connection for lost that is silent for `answer_timeout_s`.

    The bound is for each answer and each send. A read with a timeout of its own, as a
    subscription's, keeps that one.
    """

    def __init__(self, *, answer_timeout_s: float, **options: Any) -> None:
        super().__init__(**options)
        self.answer_timeout_s = answer_timeout_s

    async def on_connect(self) -> None:
        """Greet the server."""
        # redis-py would first check the health of a new connection, make another where that one
        # is silent, check its health, and so on without end.
        now_s = asyncio.get_running_loop().time()
        self.next_health_check = now_s + self.health_check_interval
        await super().on_connect()

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Send, on a connection that is made or checked first."""
        # Both try again and again, so they have no place inside the bound.
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]
        elif check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        await self._bounded(super().send_packed_command(command, check_health=False))

    async def read_response(
        self, disable_decoding: bool = False, timeout: float | None = None, **options: Any
    ) -> Any:
        """Read one answer."""
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
            # redis-py has closed the connection, but would still send what it holds.
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
    """The bounded form of redis-py's class."""
    return _BOUNDED[kind]


class PatientRetry(Retry):
    """Tries again up to `retries` times, and not once `patience_s` have gone."""

    def __init__(self, backoff: AbstractBackoff, retries: int, patience_s: float) -> None:
        super().__init__(backoff, retries)
        self._patience_s = patience_s

    async def call_with_retry(
        self, do: Callable[[], Awaitable[T]], fail: Callable[[Any], Any]
    ) -> T:
        """The result of `do`. Raises its last error."""
        until = time.monotonic() + self._patience_s

        async def fail_in_time(error: Exception) -> None:
            await fail(error)
            if time.monotonic() >= until:
                raise error

        return await super().call_with_retry(do, fail_in_time)
