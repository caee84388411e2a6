"""Connections to Redis with a time limit for each reply.

redis-py's own `socket_timeout` sends with asyncio.wait_for, which before Python 3.12 can swallow a
cancellation: a canceled task would continue.
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
# If this process itself stalled, a reply may have arrived unread. Its reader gets a turn before the
# connection is closed.
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
        # redis-py would first check the health of a new connection, create another if that one is
        # silent, check its health, and so on without end.
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
