"""A gate in front of Redis and of storage: it numbers operations, and injects faults at them.

The gate applies to what runs in one task and in the tasks that it starts, since they inherit its
context. Everything else in the process passes. An operation is one round trip to Redis (a command
or a transaction), or one call of obstore. redis-py's own retries are above the gate.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Final
from unittest import mock

import obstore
from obstore.exceptions import GenericError
from redis.asyncio.client import Pipeline
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from service.core.redis import client as core_redis
from service.core.redis import record_quota
from service.core.storage import cipher, errors, objects, writer

AWAY_FOR = 8
"""Operations that fail in a row while a part is unavailable: more than any caller retries."""

_LAST_S = 1.0

_ID = re.compile(
    r"\b[a-z]+[-_][0-9A-Za-z]{16,}\b|\b[0-9a-f]{32,}\b|(?<=:written:)\w+|(?<=acme::)\w+|"
    r"(?<=/items/a\d-)\w+"
)
_READ: Final = re.compile(
    "EXISTS|GET|HGET|HGETALL|HKEYS|HLEN|HMGET|INFO|MGET|PING|PTTL|SCAN|SCARD|SISMEMBER|SMEMBERS|STRLEN|"
    "TIME|TTL|TYPE|UNWATCH|WATCH|XLEN|XRANGE|XREVRANGE|ZCARD|ZCOUNT|ZRANGE|ZRANGEBYSCORE|ZRANK|"
    "ZREVRANGE|ZREVRANK|ZSCORE"
)
_WITHOUT_OBSTORE: Final = frozenset({"join", "sync"})
_OF_STORAGE: Final = (cipher, objects, writer)
_STORAGE_READS: Final = frozenset({"get_async", "get_range_async", "head_async", "list"})


class Fault(StrEnum):
    """What goes wrong at an operation."""

    CUT = "cut"  # the connection ends before the operation
    LOST = "lost"  # it is done, but its answer is lost
    AWAY = "away"  # it and the next ones are not done
    LOST_AWAY = "lost-away"  # it is done, its answer is lost, and the next ones are not done
    KILL = "kill"  # the process is killed before it
    KILL_AFTER = "kill-after"
    OOM = "OOM"
    NOREPLICAS = "NOREPLICAS"
    READONLY = "READONLY"
    LOADING = "LOADING"
    FULL = "full"  # the storage


_REPLIES: Final[dict[Fault, tuple[type[Exception], str]]] = {
    Fault.OOM: (OutOfMemoryError, "OOM command not allowed when used memory > 'maxmemory'."),
    Fault.NOREPLICAS: (ResponseError, "NOREPLICAS Not enough good replicas to write."),
    Fault.READONLY: (ReadOnlyError, "READONLY You can't write against a read only replica."),
    Fault.LOADING: (BusyLoadingError, "LOADING Redis is loading the dataset in memory"),
}
_COUNTING: Final = frozenset({record_quota.BEFORE, record_quota.AFTER})
_ANY = (Fault.CUT, Fault.AWAY, Fault.KILL)
_DONE = (Fault.LOST, Fault.LOST_AWAY, Fault.KILL_AFTER)


@dataclass(frozen=True)
class Operation:
    """An operation: `place` is "redis" or "storage"."""

    place: str
    words: str
    writes: bool

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Return the faults that differ from each other at this operation.

        An answer that is lost and a kill after it matter only if the operation changed something.
        """
        if self.place == "storage" and self.writes:
            adds = not self.words.startswith("delete")
            return (*_ANY, *_DONE, Fault.FULL) if adds else (*_ANY, *_DONE)
        if self.place == "storage":
            return _ANY
        return (*_ANY, *_DONE, *_REPLIES) if self.writes else (*_ANY, Fault.LOADING)


class Buried(asyncio.CancelledError):
    """Ends the tasks of a killed process, after its case."""


Act = Callable[[], Awaitable[object]]


@dataclass
class Gate:
    """Numbers the operations of one run, from 1. `acts` run before the operations with a number.

    A killed run waits at its operation, with all its tasks, until `bury`: no `finally` runs.
    `tasks` and `pipelines` are those that began behind the gate.
    """

    faults: dict[int, Fault] = field(default_factory=dict)
    acts: dict[int, Act] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    acting: list[asyncio.Task[object]] = field(default_factory=list)
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: weakref.WeakSet[asyncio.Task[Any]] = field(default_factory=weakref.WeakSet)
    pipelines: weakref.WeakSet[Pipeline] = field(default_factory=weakref.WeakSet)
    _buried: asyncio.Event = field(default_factory=asyncio.Event)
    _away_until: dict[str, int] = field(default_factory=dict)

    async def run(self, work: Awaitable[object]) -> None:
        """Run the work behind the gate until it ends or is killed. Raises the work's error.

        Unless it is killed, its acts have ended too.
        """
        context = copy_context()
        context.run(_CURRENT.set, self)
        task = asyncio.get_running_loop().create_task(_awaited(work), context=context)
        dying = asyncio.create_task(self.killed.wait())
        await asyncio.wait([task, dying], return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if not self.killed.is_set():
            try:
                await task
            finally:
                await asyncio.gather(*self.acting)

    async def bury(self) -> None:
        """End the tasks that are left, and close what they held.

        What they do first, such as cleaning up, has no effect.
        """
        self._buried.set()
        await asyncio.gather(*self.acting)
        left = {task for task in self.tasks if not task.done()}
        if left:
            _, left = await asyncio.wait(left, timeout=_LAST_S)
        while left:  # they wait for something else than an operation
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=_LAST_S)
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.exception()
        for pipeline in self.pipelines:
            await _release(pipeline)

    async def passing(
        self,
        operation: Operation,
        do: Callable[[], Awaitable[Any]],
        cut: Callable[[], Awaitable[Exception]],
    ) -> Any:
        """Do the operation with the fault that is due at it. `cut` returns the caller's error."""
        await self._living()
        self.operations.append(operation)
        number = len(self.operations)
        await self._act(number)
        fault = self.faults.get(number)
        if fault is not None and fault not in (*operation.faults, *_DONE):
            fault = Fault.CUT  # of a pair, or where the order of operations is not the usual one
        if fault is None and number <= self._away_until.get(operation.place, 0):
            fault = Fault.CUT
        if fault in (Fault.AWAY, Fault.LOST_AWAY):
            self._away_until[operation.place] = number + AWAY_FOR
        if fault is Fault.KILL:
            self.killed.set()
            await self._living()
        if fault in (Fault.CUT, Fault.AWAY):
            raise await cut()
        if fault is Fault.FULL:
            raise GenericError("No space left on device (os error 28)")
        if fault in _REPLIES:
            kind, message = _REPLIES[fault]
            raise kind(message)
        result = await do()
        if fault is Fault.KILL_AFTER:
            self.killed.set()
        await self._living()
        if fault in (Fault.LOST, Fault.LOST_AWAY):
            raise await cut()
        return result

    async def _living(self) -> None:
        if self._buried.is_set():
            raise Buried
        if self.killed.is_set():
            await self._buried.wait()
            raise Buried

    async def _act(self, number: int) -> None:
        act = self.acts.get(number)
        if act is None:
            return
        context = copy_context()
        context.run(_CURRENT.set, None)
        context.run(_ACTING.set, True)
        task = asyncio.get_running_loop().create_task(_awaited(act()), context=context)
        self.acting.append(task)
        # The user's request may wait for ours.
        await asyncio.wait([task], timeout=0.5)


_CURRENT: ContextVar[Gate | None] = ContextVar("gate", default=None)
_ACTING: ContextVar[bool] = ContextVar("acting", default=False)


def _track(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> asyncio.Task[Any]:
    """Create a task, and note it at the gate that it is behind."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    context = options.get("context")
    gate = _CURRENT.get() if context is None else context.get(_CURRENT)
    if gate is not None:
        gate.tasks.add(task)
    return task


async def _release(pipeline: Pipeline) -> None:
    """Close the connection of a pipeline whose task ended in the middle of using it."""
    connection = pipeline.connection
    if connection is not None:
        pipeline.connection = None
        await connection.disconnect(nowait=True)
        await pipeline.connection_pool.release(connection)


async def _awaited(work: Awaitable[object]) -> object:
    return await work


@contextmanager
def installed() -> Iterator[None]:
    """Put the gate in front of Redis and of storage inside the block."""
    client, pipeline = core_redis.Client, core_redis._Pipeline
    loop = asyncio.get_running_loop()
    loop.set_task_factory(_track)
    with (
        mock.patch.object(client, "_send_command_parse_response", _command(client)),
        mock.patch.object(pipeline, "_send_command_parse_response", _command(pipeline)),
        mock.patch.object(pipeline, "_execute_transaction", _batch(pipeline, "transaction")),
        mock.patch.object(pipeline, "_execute_pipeline", _batch(pipeline, "pipeline")),
        ExitStack() as stack,
    ):
        for module in _OF_STORAGE:
            stack.enter_context(mock.patch.object(module, "obstore", _Obstore()))
            stack.enter_context(mock.patch.object(module, "guard", _guarding(errors.guard)))
        try:
            yield
        finally:
            loop.set_task_factory(None)


def _command(kind: Any) -> Any:
    real = kind._send_command_parse_response

    async def send(self: Any, connection: Any, name: Any, *args: Any, **options: Any) -> Any:
        gate = _CURRENT.get()
        if gate is None:
            return await real(self, connection, name, *args, **options)
        if isinstance(self, Pipeline):
            gate.pipelines.add(self)
        operation = _redis_operation([args])
        return await gate.passing(
            operation,
            lambda: real(self, connection, name, *args, **options),
            lambda: _closed(connection),
        )

    return send


def _batch(kind: Any, name: str) -> Any:
    real = getattr(kind, f"_execute_{name}")

    async def execute(self: Any, connection: Any, commands: Any, raise_on_error: bool) -> Any:
        gate = _CURRENT.get()
        if gate is None:
            return await real(self, connection, commands, raise_on_error)
        gate.pipelines.add(self)
        operation, watching = _redis_operation([c[0] for c in commands], name), self.watching

        async def cut() -> Exception:
            self.watching = watching  # as it is until the answer is read
            return await _closed(connection)

        do = partial(real, self, connection, commands, raise_on_error)
        return await gate.passing(operation, do, cut)

    return execute


async def _closed(connection: Any) -> Exception:
    await connection.disconnect(nowait=True)
    return ConnectionError("the connection was cut")


def _redis_operation(commands: Sequence[Sequence[Any]], batch: str = "") -> Operation:
    # That a transaction counts bytes says nothing about it.
    commands = [c for c in commands if len(c) < 2 or c[1] not in _COUNTING]
    names = [_text(command[0]).upper() for command in commands]
    words = [_words(name, command) for name, command in zip(names, commands, strict=True)]
    said = f"{batch}({', '.join(words)})" if batch else words[0]
    return Operation("redis", said, not all(_READ.fullmatch(name) for name in names))


def _words(name: str, command: Sequence[Any]) -> str:
    place = 3 if name == "EVAL" else 1
    key = _text(command[place]) if len(command) > place else ""
    return f"{name} {_ID.sub('*', key).removeprefix('finetuned:')}".strip()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class _Obstore:
    """The module `obstore`, whose functions pass the gate. The real ones begin when called."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(obstore, name)
        if not name.endswith("_async") or name == "open_writer_async":
            return real

        async def call(store: Any, key: Any, *args: Any, **options: Any) -> Any:
            return await _stored(name, key, lambda: real(store, key, *args, **options))

        return call

    def list(self, store: Any, prefix: str | None = None) -> _Listing:
        """Return a listing."""
        return _Listing(store, prefix)

    def open_writer_async(self, store: Any, key: str, **options: Any) -> _Writer:
        """Return a writer."""
        return _Writer(key, obstore.open_writer_async(store, key, **options))


class _Listing:
    def __init__(self, store: Any, prefix: str | None) -> None:
        self._store, self._prefix = store, prefix

    async def collect_async(self) -> Any:
        """Return all entries."""
        listing = obstore.list(self._store, prefix=self._prefix)
        return await _stored("list", self._prefix or "", listing.collect_async)


class _Writer:
    def __init__(self, key: str, writer: Any) -> None:
        self._key, self._writer = key, writer

    async def write(self, chunk: bytes) -> Any:
        """Append bytes."""
        return await _stored("write", self._key, lambda: self._writer.write(chunk))

    async def close(self) -> Any:
        """Make the object visible."""
        return await _stored("close", self._key, self._writer.close)


def _guarding(real: Any) -> Any:
    """Return storage's `guard`, with the gate in front of what it does without obstore."""

    async def guard(name: str, work: Any, key: str) -> Any:
        if name in _WITHOUT_OBSTORE and is_behind():
            work = _begun_later(name, work, key)
        return await real(name, work, key)

    return guard


async def _begun_later(name: str, work: Any, key: str) -> Any:
    try:
        return await _stored(name, key, lambda: work)
    finally:
        work.close()  # if it has not begun


async def _stored(name: str, key: Any, do: Callable[[], Awaitable[Any]]) -> Any:
    gate = _CURRENT.get()
    if gate is None:
        return await do()

    async def cut() -> Exception:
        return GenericError("the storage is unavailable")

    words = f"{name.removesuffix('_async')} {_ID.sub('*', str(key))}"
    return await gate.passing(Operation("storage", words, name not in _STORAGE_READS), do, cut)


def is_acting() -> bool:
    """Return whether the current task is an act."""
    return _ACTING.get()


def is_behind() -> bool:
    """Return whether the current task is behind a gate."""
    return _CURRENT.get() is not None


def without_ids(text: str) -> str:
    """Return the text without IDs."""
    return _ID.sub("*", text)
