"""Notes objects in storage that may belong to no record, until they are removed.

A note is written before the bytes, or in the transaction that deletes the record or makes it final.
It is removed in the transaction that registers the bytes, or once the bytes are deleted. So if a
process dies in between, the reconciler finds the object. After a loss of Redis there are no notes,
so nothing that could be recovered is removed.

    finetuned:{kind}-leftover    sorted set of names, scored by when the object may be removed
"""

from __future__ import annotations

from typing import Any

from service.core.records import PREFIX
from service.core.redis import Client, reply, text


class Leftovers:
    """The notes about one kind of objects."""

    def __init__(self, redis: Client, kind: str) -> None:
        self._redis = redis
        self.key = f"{PREFIX}:{kind}-leftover"

    def note(self, pipe: Any, name: str, at_s: float) -> None:
        """Add to a transaction that the object may be removed at this time."""
        pipe.zadd(self.key, {name: at_s})

    def forget(self, pipe: Any, name: str) -> None:
        """Add to a transaction that a record refers to the object."""
        pipe.zrem(self.key, name)

    async def noted(self, name: str, at_s: float) -> None:
        """Note an object before its bytes are written."""
        await reply(self._redis.zadd(self.key, {name: at_s}))

    async def removed(self, name: str) -> None:
        """Forget an object that was deleted, or to which a record refers."""
        await reply(self._redis.zrem(self.key, name))

    async def noted_for(self, name: str) -> float | None:
        """Return when an object may be removed, in UTC seconds, or None if it is not noted."""
        return await reply(self._redis.zscore(self.key, name))

    async def due(self, now_s: float) -> list[str]:
        """Return the objects that may be removed, earliest first."""
        members = await reply(self._redis.zrangebyscore(self.key, "-inf", now_s))
        return [text(member) for member in members]
