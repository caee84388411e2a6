"""Caches lookups, with expiry and explicit invalidation.

The cache saves the hot path a Redis round trip, and limits how long a revoked key or a deleted
model stays usable in a process.

- Entries older than `ttl_s` are loaded again. Concurrent requests that miss the same key share one
  load, even if some of them are canceled.
- While Redis is unavailable or hangs, known entries stay usable for `stale_s` longer. The first
  request that gets no answer waits `patience_s` for it; other requests during the next second do
  not wait. So a change takes effect within `ttl_s` while Redis responds, and once it recovers.
- Missing objects (None) are cached too, with a small limit of their own, so that guesses cannot
  evict entries in use. They are never used beyond `ttl_s`.
- The result of a load that was running when its key was forgotten is not cached.
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

_ASK_AGAIN_S = 1.0  # how long Redis is considered unavailable after no answer


class _Entry(NamedTuple, Generic[V]):
    asked_at: float  # when the load started, so that no result counts as newer
    fresh_until: float
    value: V


class _Load(Generic[V]):
    """A running load."""

    __slots__ = ("asked_at", "task", "void")

    task: asyncio.Task[V]

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.void = False  # its key was forgotten during the load: the result may be stale


class LookupCache(Generic[K, V]):
    """Caches the results of `load` for `ttl_s` seconds, at most `size` of them."""

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
        self._loads: dict[K, _Load[V]] = {}  # the latest for each key
        self._tasks: set[asyncio.Task[V]] = set()  # the event loop only keeps weak references
        self._is_silent = False  # whether the last load got no answer from Redis
        self._ask_at = 0.0  # when to try Redis again

    def remembered(self, key: K) -> V | None:
        """Return the cached value, or None if `get` would have to load it."""
        entry = self._entries.get(key)
        if entry is not None and self._clock() < entry.fresh_until:
            return entry.value
        return None

    async def get(self, key: K) -> V:
        """Return the value of `key`, at most `ttl_s` old unless Redis is unavailable."""
        value = self.remembered(key)
        if value is not None:
            return value
        absent = self._absent.get(key)
        if absent is not None and self._clock() < absent.fresh_until:
            return absent.value
        return await self._refresh(key, self._entries.get(key))

    def forget(self, key: K) -> None:
        """Drop one entry. The result of a running load is not cached either."""
        self._entries.pop(key, None)
        self._absent.pop(key, None)
        if (load := self._loads.pop(key, None)) is not None:
            load.void = True

    def forget_where(self, matches: Callable[[V], bool]) -> None:
        """Drop the entries whose values match. Scans all entries: only for rare events."""
        for key in [k for k, entry in self._entries.items() if matches(entry.value)]:
            self.forget(key)
        self._void_loads()

    def expire_all(self) -> None:
        """Expire all entries, as after `ttl_s`. Used when invalidations may have been missed."""
        for key, entry in list(self._entries.items()):
            self._entries[key] = entry._replace(fresh_until=0.0)
        self._absent.clear()
        self._void_loads()
        self._ask_at = 0.0

    def _void_loads(self) -> None:
        for load in self._loads.values():
            load.void = True
        self._loads.clear()

    async def _refresh(self, key: K, entry: _Entry[V] | None) -> V:
        now = self._clock()
        if entry is not None and now >= entry.asked_at + self._ttl_s + self._stale_s:
            entry = None
        if entry is not None and self._is_silent:
            if now < self._ask_at:
                return self._stale(entry)
            self._ask_at = now + _ASK_AGAIN_S  # this request tries Redis, the others continue
        load = self._join_or_start(key, now)
        if entry is not None and not await self._completes_soon(load):
            return await self.get(key) if load.void else self._stale(entry)
        value = await asyncio.shield(load.task)
        return await self.get(key) if load.void else value

    async def _completes_soon(self, load: _Load[V]) -> bool:
        """Return whether the load completes before the patience ends."""
        await asyncio.wait((load.task,), timeout=self._patience_s)
        if not load.task.done():
            self._note_no_answer()
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
        load.task.add_done_callback(self._on_load_end)
        return load

    async def _run(self, key: K, load: _Load[V]) -> V:
        try:
            async with asyncio.timeout(self._load_timeout_s):
                value = await self._load(key)
        except REDIS_ERRORS:
            self._note_no_answer()
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

    def _note_no_answer(self) -> None:
        self._is_silent = True
        self._ask_at = self._clock() + _ASK_AGAIN_S

    def _stale(self, entry: _Entry[V]) -> V:
        metrics.LOOKUPS_STALE.cell().inc()
        return entry.value

    def _on_load_end(self, task: asyncio.Task[V]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved, even if nobody awaits it
