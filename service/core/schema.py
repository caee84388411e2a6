"""The version of the data in Redis.

    finetuned:schema   the highest version of the processes that have started on this Redis

A process refuses data of a higher version than its own. The version is raised only if older
processes would misread or lose what newer ones write. New fields and new kinds of records do not
raise it: older versions keep fields that they do not know (`Stored` in records.py) and leave
records that they cannot parse to newer versions.
"""

from __future__ import annotations

from typing import Final

from service import __version__
from service.core.records import PREFIX
from service.core.redis import Client, reply

VERSION: Final = 1
KEY: Final = f"{PREFIX}:schema"

# Raises the version to ARGV[1] if it is lower, and returns what it was.
_RAISE: Final = """
local found = tonumber(redis.call('GET', KEYS[1]) or 0)
if found < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return found
"""


class NewerData(ValueError):
    """Redis contains data that only a newer version can read."""


async def require(redis: Client) -> None:
    """Record that this version writes to Redis. Raises NewerData if it cannot read the data."""
    found = int(await reply(redis.eval(_RAISE, 1, KEY, str(VERSION))))
    if found > VERSION:
        raise NewerData(
            f"Redis contains data of version {found}, but finetuned {__version__} reads only up to "
            f"version {VERSION}. Start a newer finetuned, or restore the backup from before the "
            "upgrade."
        )
