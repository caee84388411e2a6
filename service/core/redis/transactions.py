"""Makes transactions on Redis exactly once, so that callers always know whether they were applied.

    finetuned:written:{random}   left by a transaction for ten minutes: the number of its attempt

Redis may execute a transaction although its response is lost with the connection. Therefore each
transaction writes a key of its own, which is read before another attempt is made.

A client can require a confirmation: then a transaction only succeeds once it is on enough replicas
or disks (`Confirmation` in client.py).

An observer of the current task, such as the trail of an audited request, is notified of the objects
that a transaction changes, and can add commands to it.

Each transaction counts the bytes of the projects that it changes (record_quota.py). One that
creates something is refused beyond the project's quota, and one that releases something is made
even if the memory of Redis is full.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Final, Generic, Protocol, TypeVar

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import OutOfMemoryError, ResponseError, WatchError

from service.core import ids
from service.core.redis import record_quota
from service.core.redis.client import (
    REDIS_ERRORS,
    Client,
    Confirmation,
    Purpose,
    Unconfirmed,
    beyond_limit,
    is_refusal,
    purpose,
)

T = TypeVar("T")
Write = Callable[[Pipeline], Any]
Decide = Callable[[Pipeline], Awaitable[tuple[T, Write | None]]]

_MARKS: Final = "finetuned:written"
_MARK_LIFETIME_S: Final = 600  # longer than any caller retries a write
_REFUSED_S: Final = 0.5
# Longer than `appendfsync everysec` takes, and shorter than the client waits for a reply.
_CONFIRMED_MS: Final = 1500
_MAX_TRIES: Final = 1000  # each conflict is another writer's success, so racing writers need few


class Observer(Protocol):
    """Follows the transactions of a task, and may add an entry to each."""

    def begin(self) -> None:
        """Begin an attempt at a transaction."""
        ...

    def touch(self, object_id: str) -> None:
        """Note that the transaction changes an object."""
        ...

    def write(self, pipe: Pipeline) -> Collection[str]:
        """Add an entry to the transaction, and return the objects that it names."""
        ...

    def settle(self, touched: Collection[str]) -> None:
        """Note that the transaction with the entry about these objects was applied."""
        ...


observer: ContextVar[Observer | None] = ContextVar("observer", default=None)
"""The observer of the current task's transactions."""


def touch(object_id: str) -> None:
    """Note that the transaction in progress changes an object."""
    if (found := observer.get()) is not None:
        found.touch(object_id)


async def commit(redis: Redis, keys: Sequence[str], decide: Decide[T]) -> T:
    """Make the transaction that `decide` returns exactly once, and return its result.

    `decide` gets a pipeline that watches `keys` and executes commands immediately. It may watch
    more keys, must read only watched ones, and returns the result and the function that adds the
    commands to the transaction, or None if there is nothing to write. If another process wrote in
    between, it runs again, so it must have no side effects. It can raise to cancel: then nothing
    was written, and nothing will be.

    If Redis temporarily rejects a write, it is retried for the client's `patience_s`. If Redis
    stays unavailable, its error is raised, and the transaction may or may not have been applied.
    The same is true of Unconfirmed. What exceeds a quota raises StorageFull or TooLarge.
    """
    attempts = _Attempts[T](redis)
    use = redis.record_use if isinstance(redis, Client) else None
    async with nullcontext() if use is None else use.connections():
        result = await _run(redis, keys, decide, attempts)
    if attempts.is_applied:
        await confirm(redis, attempts.mark, _MARK_LIFETIME_S)
    return result


async def _run(redis: Redis, keys: Sequence[str], decide: Decide[T], attempts: _Attempts[T]) -> T:
    patience_s = redis.patience_s if isinstance(redis, Client) else 0.0
    until = time.monotonic() + patience_s
    async with redis.pipeline(transaction=True) as pipe:
        for _ in range(_MAX_TRIES):
            try:
                return await attempts.make(pipe, keys, decide)
            except WatchError:
                continue
            except OutOfMemoryError:
                if attempts.is_beyond_limit or purpose() is not Purpose.RELEASE:
                    if time.monotonic() >= until:
                        raise
                    await asyncio.sleep(_REFUSED_S)
                attempts.is_beyond_limit = purpose() is Purpose.RELEASE
            except ResponseError as e:
                if not is_refusal(e) or time.monotonic() >= until:
                    raise
                await asyncio.sleep(_REFUSED_S)
    raise WatchError(f"all {_MAX_TRIES} attempts at a transaction failed")


async def write_once(redis: Redis, write: Write) -> None:
    """Make a transaction that depends on nothing, exactly once. Raises like `commit`."""

    async def decide(_: Pipeline) -> tuple[None, Write]:
        return None, write

    await commit(redis, [], decide)


async def confirm(redis: Redis, key: str, lifetime_s: int) -> None:
    """Wait until the write of a key is where the client requires it to be. Raises Unconfirmed.

    The key's lifetime is set again: Redis waits for the writes of one connection, and whatever was
    written before them is then confirmed too. If the key is gone, a failover lost it.
    """
    wanted = redis.confirmation if isinstance(redis, Client) else Confirmation()
    if wanted == Confirmation():
        return
    async with redis.pipeline(transaction=False) as pipe:
        pipe.expire(key, lifetime_s)
        if wanted.on_disk:
            pipe.execute_command("WAITAOF", 1, wanted.replicas, _CONFIRMED_MS)
        else:
            pipe.execute_command("WAIT", wanted.replicas, _CONFIRMED_MS)
        is_there, reached = await pipe.execute()
    local, replicas = reached if wanted.on_disk else (1, reached)
    if not is_there:
        raise Unconfirmed("a failover of Redis lost a write")
    if not local or replicas < wanted.replicas:
        disk = "" if local else ", and the server has not synced it to its disk"
        raise Unconfirmed(f"{replicas} of {wanted.replicas} replicas have a write{disk}")


def new_mark() -> str:
    """Return a new key for the mark of a script that must not run twice."""
    return f"{_MARKS}:{ids.random_part()}"


class _Attempts(Generic[T]):
    """Attempts a transaction repeatedly, so that it is applied at most once."""

    def __init__(self, redis: Redis) -> None:
        self.mark = new_mark()
        self.is_beyond_limit = False
        """Whether the transaction may be made although the memory of Redis is full."""
        self._redis = redis
        self.is_applied = False
        self._results: list[T] = []
        self._recorded: list[Collection[str]] = []

    async def make(self, pipe: Pipeline, keys: Sequence[str], decide: Decide[T]) -> T:
        """Make another attempt, unless an earlier one was applied. Raises WatchError."""
        # The mark is watched, so that this attempt fails if an earlier one is executed after this.
        await pipe.watch(*keys, self.mark)
        if (number := await self._applied(pipe)) is not None:
            return self._result(number)
        try:
            result, write = await decide(pipe)
        except REDIS_ERRORS:
            raise
        except Exception:
            # `decide` may have seen what an earlier attempt wrote since the mark was read.
            if (number := await self._applied(pipe)) is not None:
                return self._result(number)
            raise
        if write is None:
            return result
        pipe.multi()  # type: ignore[no-untyped-call]
        self._recorded.append(_write(pipe, write))
        pipe.set(self.mark, len(self._results), ex=_MARK_LIFETIME_S)
        async with self._room(pipe):
            self._results.append(result)
            counted = record_quota.counted_keys(pipe.command_stack)
            if self.is_beyond_limit:
                beyond_limit(pipe)
            record_quota.add_counting(pipe, counted)
            await pipe.execute()
        self.is_applied = True
        return self._result(len(self._results) - 1)

    def _room(self, pipe: Pipeline) -> AbstractAsyncContextManager[None]:
        use = self._redis.record_use if isinstance(self._redis, Client) else None
        # An attempt without an answer may have been applied, so only the first one is refused.
        return nullcontext() if use is None or self._results else use.room(pipe.command_stack)

    def _result(self, number: int) -> T:
        """Return the result of the attempt that was applied."""
        if (found := observer.get()) is not None:
            found.settle(self._recorded[number])
        return self._results[number]

    async def _applied(self, pipe: Pipeline) -> int | None:
        """Return the number of the attempt that was applied, if any."""
        if not self._results:
            return None
        number = await pipe.get(self.mark)
        self.is_applied = number is not None
        return None if number is None else int(number)


def _write(pipe: Pipeline, write: Write) -> Collection[str]:
    """Add the commands to a transaction. Returns the objects that its audit entry names."""
    found = observer.get()
    if found is None:
        write(pipe)
        return ()
    found.begin()
    write(pipe)
    return found.write(pipe)
