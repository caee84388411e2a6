"""Counts the bytes that the records of each project take in Redis.

    finetuned:{project}:record-bytes   hash: `kept` → bytes of keys that stay, and the hour, since
                                       the epoch, after which keys expire → bytes of those

Each transaction measures the keys of projects that it changes, before and after (`count`). So the
count includes whatever is written, and those who write need not think of it. Expired keys leave it
automatically. What is written outside of transactions, and any error, is corrected by a recount
(record_use.py). Usage has its own bounds (usage/keys.py) and is not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from redis.asyncio.client import Pipeline

from service.core.redis import BEYOND_LIMIT, text

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


def count(pipe: Pipeline, keys: Sequence[str]) -> None:
    """Add the counting of these keys to a transaction, whose commands are complete."""
    if keys:
        pipe.command_stack.insert(0, (("EVAL", BEFORE, str(len(keys)), *keys), {}))
        pipe.command_stack.append((("EVAL", AFTER, str(len(keys)), *keys), {}))


def counted_keys(commands: Iterable[Any]) -> list[str]:
    """Return the keys of projects in the commands of a transaction."""
    return list(dict.fromkeys(key for _, key, _ in own_keys(commands)))


def own_keys(commands: Iterable[Any]) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
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
