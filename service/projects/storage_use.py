"""Counts the bytes of projects in storage, and refuses writes beyond their quotas.

    finetuned:{project}:storage-used      hash from a kind of objects, such as `files`, to bytes
    finetuned:{project}:storage-reserved  hash from a write in progress to its reserved bytes
    finetuned:{project}:storage-changes   number of changes of both, which a recount compares
    finetuned:reservation-leftover        "project/write", scored by when it expires
    finetuned:storage-recount             projects whose bytes are to be counted again
    finetuned:storage-counted             projects, scored by when they were last counted

A write reserves its bytes first: all of them if their number is known, otherwise a few MiB at a
time. So concurrent writes never exceed a quota. Reservations of killed processes expire after an
hour.

Bytes are counted as they are written and deleted. If a process dies in between, or Redis is
unavailable, the sum is wrong: then, and once a day, the reconciler counts the objects from a
listing. While Redis is down, nothing is refused.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from service.core import clock, ids
from service.core.records import PREFIX
from service.core.redis import REDIS_ERRORS, Client, reply, text, why
from service.core.redis.transactions import new_mark
from service.core.storage import QuotaExceeded
from service.core.storage.leftovers import Leftovers

if TYPE_CHECKING:
    from service.core.storage import Storage

log = logging.getLogger(__name__)

_DEAD_AFTER_S: Final = 3600.0
_COUNTED_EVERY_S: Final = 24 * 3600.0
_RECOUNT: Final = f"{PREFIX}:storage-recount"
_COUNTED: Final = f"{PREFIX}:storage-counted"
_RESERVATIONS: Final = "reservation"

_SUM = """
local function sum(key)
  local total = 0
  for _, value in ipairs(redis.call('HVALS', key)) do total = total + value end
  return total
end
"""
# Reserves bytes for a write. Returns -1, or the bytes in use if there is no room for more.
_GROW = f"""{_SUM}
local write, bytes, limit, dead_at, member = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local used = sum(KEYS[1]) + sum(KEYS[2])
if limit ~= '' and used + bytes > tonumber(limit) then return used end
redis.call('HINCRBY', KEYS[2], write, bytes)
redis.call('ZADD', KEYS[4], dead_at, member)
redis.call('INCR', KEYS[3])
return -1
"""
# Ends a reservation, and counts the written bytes. If there is none, because Redis was down or the
# response of an earlier run was lost, the project is recounted.
_SETTLE = f"""
local reserved = redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[5])
redis.call('INCR', KEYS[3])
if reserved == 0 then redis.call('SADD', '{_RECOUNT}', ARGV[4])
elseif tonumber(ARGV[3]) > 0 then redis.call('HINCRBY', KEYS[1], ARGV[2], ARGV[3]) end
"""
# Subtracts deleted bytes once, even if the script runs again because its response was lost.
_FREE = """
if not redis.call('SET', KEYS[5], 1, 'NX', 'EX', 600) then return end
local left = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0) - ARGV[2]
if left > 0 then redis.call('HSET', KEYS[1], ARGV[1], left)
else redis.call('HDEL', KEYS[1], ARGV[1]) end
redis.call('INCR', KEYS[3])
"""
# Replaces the counts with those of a listing, unless something changed since.
_REPLACE = """
if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('DEL', KEYS[1])
if #ARGV > 1 then redis.call('HSET', KEYS[1], unpack(ARGV, 2)) end
return 1
"""

LimitOf = Callable[[str], Awaitable[int | None]]
"""Returns the quota of a project in bytes; None if there is none. May raise QuotaExceeded."""


async def _no_limit(_project_id: str) -> None:
    return None


class StorageUse:
    """Counts the bytes of projects, and refuses writes beyond their quotas."""

    def __init__(self, redis: Client, limit_of: LimitOf = _no_limit) -> None:
        self._redis = redis
        self._limit_of = limit_of
        self._leftovers = Leftovers(redis, _RESERVATIONS)
        self._grow = redis.register_script(_GROW)
        self._settle = redis.register_script(_SETTLE)
        self._free = redis.register_script(_FREE)
        self._replace = redis.register_script(_REPLACE)
        self._uncounted: set[str] = set()  # projects whose changes could not be counted

    def write(self, key: str, *, is_limited: bool = True) -> Write | None:
        """Return the accounting of a write to an object; None if it belongs to no project."""
        place = _place(key)
        return None if place is None else Write(self, *place, is_limited=is_limited)

    async def freed(self, key: str, size: int) -> None:
        """Count deleted bytes of an object or a folder."""
        place = _place(key)
        if place is not None and size:
            project_id, kind = place
            await self._run_script(project_id, self._free, [new_mark()], kind, size)

    async def bytes_by_kind(self, project_id: str) -> dict[str, int]:
        """Return a project's bytes by kind, including those of writes in progress."""
        used, reserved, *_ = _keys(project_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(used)
            pipe.hvals(reserved)
            kinds, writing = await pipe.execute()
        found = {text(kind): int(size) for kind, size in sorted(kinds.items())}
        if writing:
            found["uploading"] = sum(map(int, writing))
        return found

    async def totals(self, project_ids: Sequence[str]) -> list[int]:
        """Return the bytes of projects, including those of writes in progress."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for project_id in project_ids:
                used, reserved, *_ = _keys(project_id)
                pipe.hvals(used)
                pipe.hvals(reserved)
            sizes = [sum(map(int, values)) for values in await pipe.execute()]
        return [used + reserved for used, reserved in zip(sizes[::2], sizes[1::2], strict=True)]

    async def recount(self, storage: Storage, project_ids: Iterable[str]) -> None:
        """Count projects whose sum is uncertain, or a day old, from listings of the storage."""
        for member in await self._leftovers.due(clock.now()):
            project_id, _, write = member.partition("/")
            await reply(self._redis.sadd(_RECOUNT, project_id))
            args: list[str | int] = [write, "", 0, project_id, member]
            await self._settle(keys=_keys(project_id), args=args)
        uncertain = {text(member) for member in await reply(self._redis.smembers(_RECOUNT))}
        since = clock.now() - _COUNTED_EVERY_S
        recent = {text(i) for i in await reply(self._redis.zrangebyscore(_COUNTED, since, "inf"))}
        for project_id in project_ids:
            if project_id in uncertain or project_id not in recent:
                await self._recount(storage, project_id)

    async def _recount(self, storage: Storage, project_id: str) -> None:
        changes = await self._redis.get(_keys(project_id)[2])
        sizes: Counter[str] = Counter()
        for found in await storage.objects(f"{project_id}/"):
            if (place := _place(found.key)) is not None:
                sizes[place[1]] += found.size
        args: list[str | int] = [text(changes or b"0")]
        for kind, size in sizes.items():
            if size:
                args += [kind, size]
        if await self._replace(keys=_keys(project_id), args=args):
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.srem(_RECOUNT, project_id)
                pipe.zadd(_COUNTED, {project_id: clock.now()})
                await pipe.execute()

    async def grow(self, write: Write, size: int) -> None:
        """Reserve more bytes for a write. Raises QuotaExceeded."""
        limit = await self._limit(write.project_id)
        limit = limit if write.is_limited else None
        used = await self._run_script(
            write.project_id,
            self._grow,
            [],
            write.id,
            size,
            "" if limit is None else limit,
            clock.now() + _DEAD_AFTER_S,
            write.member,
        )
        if limit is not None and used is not None and used >= 0:
            raise QuotaExceeded(
                f"The project uses {used} bytes of its storage quota of {limit} bytes, and this "
                f"needs {size} more. Delete files, exports, jobs or models of the project, or ask "
                "an administrator to raise 'storage_bytes' in the project's limits."
            )

    async def settle(self, write: Write, size: int) -> None:
        """End a write of this many bytes, or of 0 if it was undone."""
        args = (write.id, write.kind, size, write.project_id, write.member)
        await self._run_script(write.project_id, self._settle, [], *args)

    async def _limit(self, project_id: str) -> int | None:
        try:
            return await self._limit_of(project_id)
        except REDIS_ERRORS:
            return None

    async def _run_script(
        self, project_id: str, script: Any, more_keys: list[str], *args: str | float
    ) -> int | None:
        """Run a script. If Redis is down, the project is recounted later."""
        try:
            result = await script(keys=[*_keys(project_id), *more_keys], args=args)
            if self._uncounted:
                await reply(self._redis.sadd(_RECOUNT, *self._uncounted))
                self._uncounted.clear()
        except REDIS_ERRORS as e:
            log.info("bytes in storage are counted later: %s", why(e))
            self._uncounted.add(project_id)
            return None
        return None if result is None else int(result)


class Write:
    """Accounts for one write: `reserve` before bytes are written, then `done` or `undone`."""

    __slots__ = ("_reserved", "_use", "id", "is_limited", "kind", "project_id")

    def __init__(self, use: StorageUse, project_id: str, kind: str, *, is_limited: bool) -> None:
        self._use = use
        self._reserved = 0
        self.project_id = project_id
        self.kind = kind
        self.is_limited = is_limited
        self.id = ids.random_part()

    @property
    def member(self) -> str:
        """Name of the reservation."""
        return f"{self.project_id}/{self.id}"

    async def reserve(self, size: int, ahead: int = 0) -> int:
        """Reserve `size` bytes in all, and `ahead` more if there is room. Returns their number.

        Raises QuotaExceeded.
        """
        more = size - self._reserved
        if more <= 0:
            return self._reserved
        try:
            await self._use.grow(self, more + ahead)
        except QuotaExceeded:
            if not ahead:
                raise
            ahead = 0
            await self._use.grow(self, more)
        self._reserved += more + ahead
        return self._reserved

    async def done(self, size: int) -> None:
        """Count the bytes that were written."""
        await self._use.settle(self, size)

    async def undone(self) -> None:
        """Release the reservation, because nothing was written."""
        if self._reserved:
            await self._use.settle(self, 0)


def _place(key: str) -> tuple[str, str] | None:
    """Return the project of an object and its kind, or None if it belongs to no project."""
    project_id, _, rest = key.partition("/")
    if not project_id.startswith(ids.PROJECT) or not rest:
        return None
    return project_id, rest.partition("/")[0]


def _keys(project_id: str) -> list[str]:
    own = f"{PREFIX}:{project_id}:storage"
    return [
        f"{own}-used",
        f"{own}-reserved",
        f"{own}-changes",
        f"{PREFIX}:{_RESERVATIONS}-leftover",
    ]
