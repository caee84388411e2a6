"""Enforces quotas of records, and keeps a reserve of the memory of Redis.

    finetuned:{project}:record-bytes   hash: `kept` → bytes of keys that stay, and the hour, since
                                       the epoch, after which keys expire → bytes of those
    finetuned:record-recount   set when a project was refused, until the bytes are counted again
    finetuned:record-counted   set for an hour after the bytes were counted

Each transaction measures the keys of projects that it changes, before and after (`add_counting`).
So callers need no code for it. Expired keys leave the count automatically. A recount corrects
errors and adds writes outside of transactions. Usage has its own bounds (usage/keys.py) and is not
counted.

A request that creates something is refused beyond the quota of its project, and while Redis has
only its reserve left. The reserve is for all other writes: deletions, the progress of jobs, the
audit log. Small projects may use a part of it, so that large ones leave them room.

The reconciler recounts all bytes every hour, and soon after a project was refused. So bytes that
were deleted or expired without being counted do not block a project for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio.client import Pipeline

from service.core import clock, metrics
from service.core.errors import NO_RETRY, QuotaExceeded, RedisFull, TooLarge
from service.core.redis.client import (
    BEYOND_LIMIT,
    REDIS_ERRORS,
    Client,
    Purpose,
    batched,
    purpose,
    reply,
    text,
)

NAME: Final = "record-bytes"
KEPT: Final = "kept"
HOUR_S: Final = 3600
_OWN: Final = re.compile(rf"finetuned:(proj_[^:]+):(?!usage:|{NAME}$)")
_OF_MANY: Final = frozenset({"DEL", "UNLINK"})
_SCRIPTS: Final = frozenset({"EVAL", "EVALSHA"})

# Returns the sizes of keys, by the hash of the project and its field.
MEASURE: Final = f"""
local function measure(keys)
  local sizes = {{}}
  for _, key in ipairs(keys) do
    local size = redis.call('MEMORY', 'USAGE', key)
    if size then
      local count = string.match(key, '^finetuned:[^:]+:') .. '{NAME}'
      local expires_ms, field = redis.call('PEXPIRETIME', key), '{KEPT}'
      if expires_ms >= 0 then
        field = string.format('%.0f', math.ceil(expires_ms / {HOUR_S * 1000}))
      end
      sizes[count] = sizes[count] or {{}}
      sizes[count][field] = (sizes[count][field] or 0) + size
    end
  end
  return sizes
end
"""
# Removes the sizes of keys from the counts, before a transaction changes the keys.
BEFORE: Final = f"""{BEYOND_LIMIT}{MEASURE}
for count, sizes in pairs(measure(KEYS)) do
  for field, size in pairs(sizes) do redis.call('HINCRBY', count, field, -size) end
end
"""
# Adds them again afterwards, and removes what has expired. A count below 0, after writes that were
# not counted, is 0.
AFTER: Final = f"""{BEYOND_LIMIT}{MEASURE}
local hour, counts = redis.call('TIME')[1] / {HOUR_S}, {{}}
for count, sizes in pairs(measure(KEYS)) do
  for field, size in pairs(sizes) do redis.call('HINCRBY', count, field, size) end
end
for _, key in ipairs(KEYS) do counts[string.match(key, '^finetuned:[^:]+:') .. '{NAME}'] = true end
for count in pairs(counts) do
  local found = redis.call('HGETALL', count)
  for i = 1, #found, 2 do
    if tonumber(found[i + 1]) <= 0 or (tonumber(found[i]) or hour) < hour then
      redis.call('HDEL', count, found[i])
    end
  end
end
"""


def add_counting(pipe: Pipeline, keys: Sequence[str]) -> None:
    """Add the counting of these keys to a complete transaction."""
    if keys:
        pipe.command_stack.insert(0, (("EVAL", BEFORE, str(len(keys)), *keys), {}))
        pipe.command_stack.append((("EVAL", AFTER, str(len(keys)), *keys), {}))


def counted_keys(commands: Iterable[Any]) -> list[str]:
    """Return the keys of projects in the commands of a transaction."""
    return list(dict.fromkeys(key for _, key, _ in project_keys(commands)))


def project_keys(commands: Iterable[Any]) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Yield the project, the key and the command for each key of a project."""
    for command, _ in commands:
        for key in _keys_of(command):
            name = text(key)
            if (own := _OWN.match(name)) is not None:
                yield own.group(1), name, command


def is_counted(key: str) -> bool:
    """Return whether a key belongs to a project and is counted."""
    return _OWN.match(key) is not None


def total(count: Mapping[bytes, bytes], now_s: float) -> int:
    """Return the bytes of a project's keys that have not expired."""
    sizes = {text(field): int(size) for field, size in count.items()}
    used = (n for field, n in sizes.items() if field == KEPT or int(field) * HOUR_S > now_s)
    return max(0, sum(used))


def _keys_of(command: tuple[Any, ...]) -> tuple[Any, ...]:
    if command[0] in _OF_MANY:
        return command[1:]
    if command[0] in _SCRIPTS:
        return command[3 : 3 + int(command[2])]
    return command[1:2]


LIMITED_AT: Final = 0.8
"""Share of its memory at which Redis takes new objects only of small projects."""
CLOSED_AT: Final = 0.9
"""Share of its memory at which Redis takes no new objects."""
PROJECT_SHARE: Final = 1 / 8
"""Share of the memory of Redis that a project may use if it has no quota of its own."""
SMALL_SHARE: Final = 1 / 64
"""Share of the memory of Redis up to which a project is small."""
MAX_OBJECT_BYTES: Final = 2**19
"""Maximum size of one object in a request, such as an eval with all its graders."""

_RECOUNT: Final = "finetuned:record-recount"
_COUNTED: Final = "finetuned:record-counted"
_COUNTED_EVERY_S: Final = 3600
_RECOUNTED_AFTER_S: Final = 60  # a count reads the names of all keys
_SCANNED_AT_ONCE: Final = 500
_MORE_BYTES: Final = 512  # for list entries and events that are written with an object

# Returns the sizes of keys: triples of hash, field and bytes.
_SIZES: Final = f"""{MEASURE}
local found = {{}}
for count, sizes in pairs(measure(KEYS)) do
  for field, size in pairs(sizes) do
    for _, value in ipairs({{count, field, size}}) do found[#found + 1] = value end
  end
end
return found
"""

LimitOf = Callable[[str], Awaitable[int | str | None]]
"""Returns the quota of a project in bytes, `unlimited`, or None for the default."""


async def _default(_project_id: str) -> None:
    return None


@dataclass(frozen=True)
class Memory:
    """Memory of Redis in bytes: in use, and the limit at which it refuses writes (0: none)."""

    used: int
    limit: int

    @classmethod
    def from_info(cls, info: Mapping[str, Any], more: int = 0) -> Memory:
        """Create it from `INFO memory`, with some more bytes in use."""
        return cls(info["used_memory"] + more, info.get("maxmemory", 0))

    def has_room(self, project_bytes: int) -> bool:
        """Return whether a project that uses this much may create something."""
        is_small = project_bytes < SMALL_SHARE * self.limit
        return not self.limit or self.used < (CLOSED_AT if is_small else LIMITED_AT) * self.limit

    def full_error(self) -> RedisFull:
        """Return the error of a request that may not create anything."""
        mib = 2**20
        return RedisFull(
            f"Redis uses {self.used // mib} of its {self.limit // mib} MiB of memory, and the rest "
            "is a reserve, so nothing new is created. Existing objects can be read and deleted. "
            "The operator must free or add memory: 'finetuned-server doctor' names the largest "
            "projects."
        )


class RecordUse:
    """Refuses new records beyond the quota of their project, and counts those that exist."""

    def __init__(self, redis: Client, limit_of: LimitOf = _default) -> None:
        self._redis = redis
        self._limit_of = limit_of
        self._held: Counter[str] = Counter()  # bytes of transactions in progress
        self._connections = asyncio.Semaphore(max(1, redis.connection_pool.max_connections // 2))

    def connections(self) -> AbstractAsyncContextManager[Any]:
        """Return a context that limits transactions that need room to half of the connections.

        Each holds one connection, and needs another one to read the quota.
        """
        return self._connections if purpose() in (Purpose.CREATE, Purpose.EXTEND) else nullcontext()

    @contextlib.asynccontextmanager
    async def room(self, commands: Sequence[Any]) -> AsyncIterator[None]:
        """Hold room for the commands of a transaction, which is executed in the block.

        For the purposes CREATE and EXTEND, raises TooLarge if an object is too large, QuotaExceeded
        and RedisFull. Concurrent transactions of other processes can exceed the limits by their
        size.
        """
        is_new, more = purpose() is Purpose.CREATE, Counter[str]()
        if is_new or purpose() is Purpose.EXTEND:
            for project_id, _, command in project_keys(commands):
                more[project_id] += sum(map(_size, command))
                if is_new:
                    _require_size(command)
        self._held.update(more)
        try:
            for project_id, size in more.items():
                await self._require(project_id, size, commands, is_new=is_new)
            yield
        finally:
            self._held.subtract(more)
            self._held += Counter()  # without those at 0

    async def require(self, project_id: str) -> None:
        """Raise QuotaExceeded or RedisFull unless the project may create something."""
        if purpose() is Purpose.CREATE:
            await self._require(project_id, 1, (), is_new=True)

    async def _require(
        self, project_id: str, size: int, commands: Sequence[Any], *, is_new: bool
    ) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hgetall(_key(project_id))
            pipe.info("memory")
            count, info = await pipe.execute()
        used, memory = total(count, clock.now()), Memory.from_info(info, self._held.total())
        limit = await self._limit_of(project_id)
        if limit is None and memory.limit:
            limit = int(PROJECT_SHARE * memory.limit)
        has_room = not is_new or memory.has_room(used)
        wanted = max(size, self._held[project_id])
        if has_room and not (isinstance(limit, int) and used + wanted > limit):
            return
        if is_new and commands and await self._shrinks(size, commands):
            return
        if not has_room:
            metrics.RECORDS_REFUSED.cell("memory").inc()
            raise memory.full_error()
        metrics.RECORDS_REFUSED.cell("quota").inc()
        with contextlib.suppress(*REDIS_ERRORS):
            await self._redis.set(_RECOUNT, 1)
        raise QuotaExceeded(
            f"The project's objects use {used} bytes of its quota of {limit} bytes in Redis, and "
            f"this needs {size} more. Delete evals, runs, jobs or other objects of the project, or "
            "ask an administrator to raise 'record_bytes' in the project's limits. Answers that "
            "are kept for an Idempotency-Key count too, and expire after a day."
        )

    async def _shrinks(self, size: int, commands: Sequence[Any]) -> bool:
        """Return whether the commands only make existing objects smaller, or no larger."""
        for _, key, command in project_keys(commands):
            if command[0] == "SET":
                new = _size(command[2])
                size -= new
                if new > await reply(self._redis.strlen(key)):
                    return False
        return size < _MORE_BYTES

    async def totals(self, project_ids: Sequence[str]) -> list[int]:
        """Return the bytes of projects."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for project_id in project_ids:
                pipe.hgetall(_key(project_id))
            return [total(found, clock.now()) for found in await pipe.execute()]

    async def largest(self, project_ids: Sequence[str], most: int) -> list[tuple[str, int]]:
        """Return the projects that use the most, with their bytes."""
        sizes = zip(project_ids, await self.totals(project_ids), strict=True)
        return sorted(sizes, key=lambda pair: -pair[1])[:most]

    async def recount(self) -> None:
        """Count all bytes again if that is due. Writes in between may be missed."""
        left_s = await self._redis.ttl(_COUNTED)
        age_s = _COUNTED_EVERY_S - left_s if left_s >= 0 else _COUNTED_EVERY_S
        is_wanted = age_s >= _RECOUNTED_AFTER_S and await self._redis.exists(_RECOUNT)
        if age_s < _COUNTED_EVERY_S and not is_wanted:
            return
        await self._redis.delete(_RECOUNT)
        await self._redis.set(_COUNTED, 1, ex=_COUNTED_EVERY_S)
        sizes = await self._sizes()
        counts = self._redis.scan_iter(_key("proj_*"), count=_SCANNED_AT_ONCE)
        for key in {*sizes, *[text(key) async for key in counts]}:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(key)
                if key in sizes:
                    pipe.hset(key, mapping=dict(sizes[key]))
                await pipe.execute()

    async def _sizes(self) -> dict[str, Counter[str]]:
        found: dict[str, Counter[str]] = defaultdict(Counter)
        keys = [
            key async for key in self._redis.scan_iter("finetuned:proj_*", count=_SCANNED_AT_ONCE)
        ]
        counted = [key for key in set(map(text, keys)) if is_counted(key)]
        for batch in batched(counted, _SCANNED_AT_ONCE):
            sizes = await reply(self._redis.eval(_SIZES, len(batch), *batch))
            for key, field, size in zip(sizes[::3], sizes[1::3], sizes[2::3], strict=True):
                found[text(key)][text(field)] += int(size)
        return found


def _require_size(command: Sequence[Any]) -> None:
    if command[0] == "SET" and (size := _size(command[2])) > MAX_OBJECT_BYTES:
        raise TooLarge(
            f"The object would have {size} bytes, and the limit is {MAX_OBJECT_BYTES}: everything "
            "in it counts, such as graders, schemas and metadata. Make it smaller, or divide it.",
            code="object_too_large",
            headers=NO_RETRY,
        )


def _size(value: Any) -> int:
    return len(value if isinstance(value, bytes) else str(value).encode())


def _key(project_id: str) -> str:
    return f"finetuned:{project_id}:{NAME}"
