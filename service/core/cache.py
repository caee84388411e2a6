"""A small look-up cache that forgets after seconds, or when it is told.

It spares the hot path a Redis round trip, and bounds how long a revoked key or a deleted
model lives on in a process.

- What is older than `ttl_s` is asked for again. Requests that miss the same key at the same
  time share one question, whichever of them is cancelled.
- Redis away, or hanging: what was known is used `stale_s` longer. The request that finds
  Redis silent waits `patience_s` for it; the others, for the next second, do not wait.
  So a change takes effect within `ttl_s` while Redis answers, and after it is back.
- "There is no such thing" (None) is remembered too, in a small budget of its own: guesses
  cannot push out what is in use. It is never used beyond `ttl_s`.
- An answer that was under way when its key was forgotten is not kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from service.core import metrics
from service.core.redis import REDIS_ERRORS

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_ASK_AGAIN_S = 1.0  # how long a Redis that was silent is taken for away


class _Entry(NamedTuple, Generic[V]):
    asked_at: float  # when the question was put, so that no answer is taken for newer
    fresh_until: float
    value: V


class _Load(Generic[V]):
    """A question under way."""

    __slots__ = ("asked_at", "task", "void")

    task: asyncio.Task[V]

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.void = False  # its key was forgotten meanwhile: the answer may be an old one


class LookupCache(Generic[K, V]):
    """Answers of `load`, remembered `ttl_s` seconds, at most `size` of them."""

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        *,
        ttl_s: float,
        stale_s: float = 60.0,
        size: int = 10_000,
        absent_size: int = 1_000,
        patience_s: float = 0.25,
        load_timeout_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._ttl_s = ttl_s
        self._stale_s = stale_s
        self._size = size
        self._absent_size = absent_size
        self._patience_s = patience_s
        self._load_timeout_s = load_timeout_s
        self._clock = clock
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._absent: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._loads: dict[K, _Load[V]] = {}  # the newest of each key
        self._tasks: set[asyncio.Task[V]] = set()  # the event loop's own references are weak
        self._is_silent = False  # Redis, when it was last asked
        self._ask_at = 0.0  # when to ask a silent Redis again

    def remembered(self, key: K) -> V | None:
        """What `get` would give without a question; None where it would ask."""
        entry = self._entries.get(key)
        if entry is not None and self._clock() < entry.fresh_until:
            return entry.value
        return None

    async def get(self, key: K) -> V:
        """The value of `key`, at most `ttl_s` old unless Redis is away."""
        value = self.remembered(key)
        if value is not None:
            return value
        absent = self._absent.get(key)
        if absent is not None and self._clock() < absent.fresh_until:
            return absent.value
        return await self._refreshed(key, self._entries.get(key))

    def forget(self, key: K) -> None:
        """Drop one entry; an answer under way is not kept either."""
        self._entries.pop(key, None)
        self._absent.pop(key, None)
        if (load := self._loads.pop(key, None)) is not None:
            load.void = True

    def forget_where(self, matches: Callable[[V], bool]) -> None:
        """Drop the entries whose values match. Looks at all of them: for rare events."""
        for key in [k for k, entry in self._entries.items() if matches(entry.value)]:
            self.forget(key)
        self._void_loads()

    def expire_all(self) -> None:
        """Ask again before anything is used, as after `ttl_s`: news may have been missed."""
        for key, entry in list(self._entries.items()):
            self._entries[key] = entry._replace(fresh_until=0.0)
        self._absent.clear()
        self._void_loads()
        self._ask_at = 0.0

    def _void_loads(self) -> None:
        for load in self._loads.values():
            load.void = True
        self._loads.clear()

    async def _refreshed(self, key: K, entry: _Entry[V] | None) -> V:
        now = self._clock()
        if entry is not None and now >= entry.asked_at + self._ttl_s + self._stale_s:
            entry = None
        if entry is not None and self._is_silent:
            if now < self._ask_at:
                return self._stale(entry)
            self._ask_at = now + _ASK_AGAIN_S  # this request asks, the others go on
        load = self._join_or_start(key, now)
        if entry is not None and not await self._answered(load):
            return await self.get(key) if load.void else self._stale(entry)
        value = await asyncio.shield(load.task)
        return await self.get(key) if load.void else value

    async def _answered(self, load: _Load[V]) -> bool:
        """Whether the question is answered before patience ends."""
        await asyncio.wait((load.task,), timeout=self._patience_s)
        if not load.task.done():
            self._note_silence()
            return False
        return not isinstance(load.task.exception(), REDIS_ERRORS)

    def _join_or_start(self, key: K, now: float) -> _Load[V]:
        load = self._loads.get(key)
        if load is not None and now - load.asked_at < self._ttl_s:
            return load
        load = _Load(now)
        load.task = asyncio.create_task(self._run(key, load))
        self._loads[key] = load
        self._tasks.add(load.task)
        load.task.add_done_callback(self._ended)
        return load

    async def _run(self, key: K, load: _Load[V]) -> V:
        try:
            async with asyncio.timeout(self._load_timeout_s):
                value = await self._load(key)
        except REDIS_ERRORS:
            self._note_silence()
            raise
        else:
            self._is_silent = False
            if self._loads.get(key) is load:
                self._keep(key, load.asked_at, value)
            return value
        finally:
            if self._loads.get(key) is load:
                del self._loads[key]

    def _keep(self, key: K, asked_at: float, value: V) -> None:
        found, size = (self._entries, self._size)
        other = self._absent
        if value is None:
            found, size, other = self._absent, self._absent_size, self._entries
        other.pop(key, None)
        found[key] = _Entry(asked_at, asked_at + self._ttl_s, value)
        found.move_to_end(key)
        while len(found) > size:
            found.popitem(last=False)

    def _note_silence(self) -> None:
        self._is_silent = True
        self._ask_at = self._clock() + _ASK_AGAIN_S

    def _stale(self, entry: _Entry[V]) -> V:
        metrics.LOOKUPS_STALE.inc()
        return entry.value

    def _ended(self, task: asyncio.Task[V]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also where everyone who waited is gone
