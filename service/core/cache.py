"""A small look-up cache that forgets after seconds.

It spares the hot path a Redis round trip, and bounds how long a revoked key or a deleted
model lives on in a process. When Redis is away, an entry that was just known may be used
`stale_s` longer, so that running programs go on.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from service.core.redis import REDIS_ERRORS

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LookupCache(Generic[K, V]):
    """Answers of `load`, remembered `ttl_s` seconds, at most `size` of them."""

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        *,
        ttl_s: float,
        stale_s: float = 60.0,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._ttl_s = ttl_s
        self._stale_s = stale_s
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    async def get(self, key: K) -> V:
        """The value of `key`, at most `ttl_s` old unless Redis is away."""
        entry = self._entries.get(key)
        now = self._clock()
        if entry is not None and now - entry[0] < self._ttl_s:
            return entry[1]
        try:
            value = await self._load(key)
        except REDIS_ERRORS:
            if entry is not None and now - entry[0] < self._ttl_s + self._stale_s:
                return entry[1]
            raise
        self._entries[key] = (now, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return value

    def forget(self, key: K) -> None:
        """Drop one entry."""
        self._entries.pop(key, None)
