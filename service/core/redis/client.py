"""The client for Redis (or Valkey): connecting, retries, and writes when the memory is full.

Redis is the only store of records, so a short outage must not fail operations that can wait. The
API retries for about a second and then answers 503. The worker, which runs a training, retries for
minutes. A hanging Redis is considered unavailable after seconds.
"""

from __future__ import annotations

import contextlib
import json
import re
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Protocol, TypeVar

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
from service.core.redis.connection import PatientRetry, create_pool

T = TypeVar("T")

# Redis is unavailable, rejects a write (no replica, no memory, no disk: a ResponseError), or lost
# the connection of a transaction (a WatchError). Each can be over in a moment.
REDIS_ERRORS = (ConnectionError, TimeoutError, ResponseError, WatchError, OSError)
_CODE = re.compile(r"[A-Z]{3,}\b")
_NAME = "finetuned-"  # of connections, before the kind of process
_REFUSALS = frozenset({"NOREPLICAS", "MISCONF", "OOM", "READONLY", "MASTERDOWN", "TRYAGAIN"})

BEYOND_LIMIT: Final = "#!lua flags=allow-oom\n"
"""First line of a script that may write although the memory of Redis is full."""
# Runs commands, each after the number of its arguments, and returns their results.
_RUN: Final = f"""{BEYOND_LIMIT}
local at, results = 1, {{}}
while at <= #ARGV do
  local size = tonumber(ARGV[at])
  results[#results + 1] = redis.call(unpack(ARGV, at + 1, at + size))
  at = at + size + 1
end
return results
"""


class Purpose(Enum):
    """Why a task writes to Redis, which decides how much memory it may use.

    A task without a purpose may write until the memory of Redis is full.
    """

    CREATE = auto()
    """New objects, for a request: within the project's quota, and not into the reserve."""
    EXTEND = auto()
    """The results of background work: within the project's quota."""
    RELEASE = auto()
    """Deletions, cancellations and revocations: even when the memory of Redis is full."""


_purpose: ContextVar[Purpose | None] = ContextVar("purpose", default=None)


def purpose() -> Purpose | None:
    """Return the purpose of the current task's writes."""
    return _purpose.get()


def set_purpose(purpose: Purpose) -> None:
    """Set the purpose of the current task's writes."""
    _purpose.set(purpose)


@contextlib.contextmanager
def writing_for(purpose: Purpose) -> Iterator[None]:
    """Set the purpose of the current task's writes inside the block."""
    token = _purpose.set(purpose)
    try:
        yield
    finally:
        _purpose.reset(token)


class Unconfirmed(ConnectionError):
    """A transaction is not on the disks or replicas that `Confirmation` requires.

    It may have been applied.
    """


@dataclass(frozen=True)
class Confirmation:
    """Where a transaction must be before it counts as done.

    `replicas`: the number of replicas that must have it. `on_disk`: the server and these replicas
    must have synced it to their append-only files.
    """

    replicas: int = 0
    on_disk: bool = False


class Accounting(Protocol):
    """Counts the bytes of projects in Redis, and enforces their quotas (record_quota.py)."""

    def connections(self) -> AbstractAsyncContextManager[Any]:
        """Return a context that limits how many connections wait for room."""
        ...

    def room(self, commands: Sequence[Any]) -> AbstractAsyncContextManager[None]:
        """Return a context that holds room for the commands of a transaction."""
        ...

    async def require(self, project_id: str) -> None:
        """Raise QuotaExceeded or RedisFull unless the project may create something."""
        ...

    async def totals(self, project_ids: Sequence[str]) -> list[int]:
        """Return the bytes of projects."""
        ...

    async def recount(self) -> None:
        """Count all bytes again if that is due."""
        ...


class Client(ArqRedis):
    """arq's client. Its errors omit command arguments, because these contain records.

    `patience_s`: how long a write is retried while Redis rejects it.
    """

    def __init__(
        self,
        *args: Any,
        patience_s: float = 0.0,
        confirmation: Confirmation | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.patience_s = patience_s
        self.confirmation = confirmation or Confirmation()
        self.record_use: Accounting | None = None  # without it, nothing is refused

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command. For the purpose RELEASE, also if the memory is full."""
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except OutOfMemoryError:
            if purpose() is not Purpose.RELEASE:
                raise
        execute = super().execute_command
        if args[0] == "EVAL":
            return await execute("EVAL", BEYOND_LIMIT + args[1], *args[2:])  # type: ignore[no-untyped-call]
        results = await execute("EVAL", *_run([args]))  # type: ignore[no-untyped-call]
        return _parse(self.response_callbacks, [(args, options)], results)[0]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Return redis-py's pipeline."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Pipeline(Pipeline):
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute the commands. A transaction that watches no keys may use the reserve."""
        commands, may_repeat = list(self.command_stack), self.is_transaction and not self.watching
        try:
            return await super().execute(raise_on_error)
        except OutOfMemoryError:
            if not may_repeat or purpose() is not Purpose.RELEASE:
                raise
        self.command_stack = list(commands)
        beyond_limit(self)
        (results,) = await super().execute()
        return _parse(self.response_callbacks, commands, results)

    def annotate_exception(
        self, exception: Exception, number: int, command: Iterable[object]
    ) -> None:
        """Add the command's position and name to an error. redis-py adds the complete command."""
        name = next(iter(command), b"")
        name = name.decode() if isinstance(name, bytes) else name
        exception.args = (f"{exception} (command {number}: {name})", *exception.args[1:])


def beyond_limit(pipe: Pipeline) -> None:
    """Convert a complete transaction to a script that may run although the memory is full."""
    pipe.command_stack[:] = [(("EVAL", *_run(args for args, _ in pipe.command_stack)), {})]


def _run(commands: Iterable[Sequence[Any]]) -> tuple[Any, ...]:
    """Return the arguments of an EVAL that runs the commands."""
    return (_RUN, 0, *(part for args in commands for part in (len(args), *args)))


def _parse(
    callbacks: Mapping[Any, Callable[..., Any]],
    commands: Sequence[tuple[Sequence[Any], Mapping[str, Any]]],
    results: Sequence[Any],
) -> list[Any]:
    """Return the results of a script's commands as redis-py returns those of the commands."""
    parsed = []
    for (args, given), result in zip(commands, results, strict=True):
        callback = callbacks.get(args[0])
        options = {name: value for name, value in given.items() if name != "keys"}
        parsed.append(result if callback is None else callback(result, **options))
    return parsed


def is_refusal(error: ResponseError) -> bool:
    """Return whether Redis may accept the same command in a moment."""
    code = _CODE.match(str(error))
    return isinstance(error, OutOfMemoryError | ReadOnlyError) or (
        code is not None and code.group() in _REFUSALS
    )


def why(error: BaseException) -> str:
    """Return the reason for a log line: the error's type, and Redis's own code if it gave one."""
    code = _CODE.match(str(error)) if isinstance(error, ResponseError) else None
    return f"{type(error).__name__} {code.group()}" if code else type(error).__name__


def to_json(value: Any) -> bytes:
    """Serialize for arq: JSON, never pickle, so that a queue entry cannot run code."""
    return json.dumps(value, separators=(",", ":"), default=str).encode()


def from_json(value: bytes) -> Any:
    """Deserialize for arq."""
    return json.loads(value)


def connect(
    url: str,
    *,
    retries: int = 4,
    max_connections: int = 64,
    timeout_s: float = 2.0,
    patience_s: float = 1.5,
    confirmation: Confirmation | None = None,
    process: str | None = None,
) -> Client:
    """Create a client that retries lost connections `retries` times, waiting up to 1 s in between.

    No attempt starts after `patience_s`. `timeout_s` limits the wait for a new connection, for a
    free connection of the pool, and for each reply. With the defaults, a hanging Redis is an error
    after 2 s, or after 4 s if all connections are in use.

    `url` points to one server or to Sentinel (see `create_pool`).

    Nothing is opened before the first command. If all `max_connections` are in use, a command waits
    for a free one. So a burst of requests queues here and does not exhaust Redis.

    `process`: the kind of process, which Redis lists with its connections (see `processes`).
    """
    pool = create_pool(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        answer_timeout_s=timeout_s,
        socket_connect_timeout=2 * timeout_s,  # our connections have a shorter limit
        socket_keepalive=True,
        health_check_interval=30,
        retry=PatientRetry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries, patience_s),
        # A restarting server refuses connections, which redis-py would not retry.
        retry_on_error=[ConnectionError, TimeoutError, BusyLoadingError, ConnectionRefusedError],
        redis_connect_func=_greeting(process),
    )
    return Client(
        pool,
        job_serializer=to_json,
        job_deserializer=from_json,
        patience_s=patience_s,
        confirmation=confirmation,
    )


def _greeting(process: str | None) -> Callable[[AbstractConnection], Awaitable[None]]:
    """Return redis-py's handshake for new connections, which also counts reconnects."""
    known: weakref.WeakSet[AbstractConnection] = weakref.WeakSet()

    async def greet(connection: AbstractConnection) -> None:
        await connection.on_connect()
        if process is not None:
            with contextlib.suppress(ResponseError):  # a user without the right to name it
                await connection.send_command("CLIENT", "SETNAME", f"{_NAME}{process}")
                await connection.read_response()
        if connection in known:
            metrics.REDIS_RECONNECTS.cell().inc()
        known.add(connection)

    return greet


async def processes(redis: Client) -> set[str]:
    """Return which kinds of processes are connected to the same database of this Redis.

    Empty if this user may not list connections. Raises REDIS_ERRORS.
    """
    try:
        own = await redis.client_info()
        connections = await redis.client_list()
    except ResponseError:
        return set()
    names = {each["name"] for each in connections if each["db"] == str(own["db"])}
    return {name.removeprefix(_NAME) for name in names if name.startswith(_NAME)}


async def reply(answer: Awaitable[T] | T) -> T:
    """Await a command's reply. redis-py types some as possibly synchronous; none of ours is."""
    return await answer if isinstance(answer, Awaitable) else answer


def text(value: bytes | str) -> str:
    """Decode a value that Redis stores as bytes."""
    return value.decode() if isinstance(value, bytes) else value


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in batches, so that no command blocks Redis and this process for long."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
