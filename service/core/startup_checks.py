"""Checks of Redis and storage before a process starts, and by `doctor`.

Redis must keep what is written to it, contain complete data, and have data that this version can
read:

    finetuned:schema      the highest version of the processes that have started on this Redis
    finetuned:restoring   set while a backup is being restored

A process refuses data of a higher version than its own. The version is raised only if older
processes would misread or lose what newer ones write. New fields and new kinds of records do not
raise it: older versions keep fields that they do not know (`Stored` in records.py) and leave
records that they cannot parse to newer versions.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

import obstore

from service import __version__
from service.core.encryption.keyring import FOLDER, INSTALLATION
from service.core.encryption.master import MasterKey, MasterKeyError
from service.core.records import PREFIX
from service.core.redis import REDIS_ERRORS, Client, connect, reply, text, why
from service.core.storage import Storage, StorageError, StorageRefused

log = logging.getLogger(__name__)

_PATIENCE_S = 15.0


MasterKeyOf = Callable[[], MasterKey | None]
"""Returns the master key of the settings. Raises MasterKeyError."""


def storage_fault(url: str, master_key: MasterKeyOf = lambda: None) -> StorageError | None:
    """Return why the storage at a URL cannot be used, or None; StorageRefused if not temporarily.

    Encrypted storage needs the master key with which its data keys are wrapped.
    """
    try:
        asyncio.run(_use_storage(url, master_key()))
    except MasterKeyError as e:
        return StorageRefused(str(e))
    except StorageError as e:
        return e
    except TimeoutError:
        return StorageError(f"no answer within {_PATIENCE_S:.0f} s")
    except (obstore.exceptions.BaseError, OSError, ValueError) as e:
        return StorageRefused(str(e).partition("\n")[0])
    return None


def require_storage(url: str, master_key: MasterKeyOf = lambda: None) -> None:
    """Exit this process if storage rejects it. Unavailable storage may recover, so it passes."""
    fault = storage_fault(url, master_key)
    if isinstance(fault, StorageRefused):
        print(f"finetuned-server: storage cannot be used: {fault}", file=sys.stderr, flush=True)  # noqa: T201
        # obstore's threads may still call into Python, which aborts an interpreter that shuts
        # down: the exit code was -6 once on a busy machine.
        os._exit(1)
    if fault is not None:
        log.warning("storage is unavailable: %s", fault)


async def _use_storage(url: str, master_key: MasterKey | None) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        storage = Storage.from_url(url, master_key=master_key)
        await storage.check()
        if storage.keyring is not None:
            # This makes the data key of the installation, or unwraps it.
            await storage.cipher.sealer(f"{INSTALLATION}/check")
        elif await storage.keys(f"{FOLDER}/"):
            raise StorageRefused(
                "its objects are encrypted: set FINETUNED_ENCRYPTION_KEY_FILE, or the other "
                "setting of the master key, as it was"
            )


DATA_VERSION: Final = 1
DATA_VERSION_KEY: Final = f"{PREFIX}:schema"

# Raises the version to ARGV[1] if it is lower, and returns what it was.
_RAISE_VERSION: Final = """
local found = tonumber(redis.call('GET', KEYS[1]) or 0)
if found < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return found
"""


class NewerData(ValueError):
    """Redis contains data that only a newer version can read."""


async def require_readable_data(redis: Client) -> None:
    """Record that this version writes to Redis. Raises NewerData if it cannot read the data."""
    found = int(await reply(redis.eval(_RAISE_VERSION, 1, DATA_VERSION_KEY, str(DATA_VERSION))))
    if found > DATA_VERSION:
        raise NewerData(
            f"Redis contains data of version {found}, but finetuned {__version__} reads only up to "
            f"version {DATA_VERSION}. Start a newer finetuned, or restore the backup from before "
            "the upgrade."
        )


RESTORING = "finetuned:restoring"
"""Redis key with the ID of the backup that is being restored, or `REBUILDING` and an ID."""
REBUILDING = "journal:"
"""Prefix of the value of `RESTORING` during a rebuild, before the ID of the installation."""


def how_to_finish_restore(mark: str) -> str:
    """Return how to finish an interrupted restore or rebuild."""
    if mark.startswith(REBUILDING):
        return "a rebuild was interrupted: repeat it with 'finetuned-server rebuild'"
    return (
        f"the restore of backup {mark} was interrupted: repeat it with 'finetuned-server restore "
        f"SOURCE --at {mark}'"
    )


async def is_complete(redis: Client) -> bool:
    """Return whether no restore is writing to Redis. Raises REDIS_ERRORS if it is unavailable."""
    return not await redis.exists(RESTORING)


def durability_problems(info: Mapping[str, Any]) -> Iterator[str]:
    """Yield settings of a Redis, from its INFO, that can lose data, and how to fix them."""
    if info.get("cluster_enabled"):
        yield (
            "cluster-enabled is yes, but transactions need all keys on one server. Use a single "
            "server, or Sentinel for failover."
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield (
            f"maxmemory-policy is {policy}, so Redis deletes records when its memory is full. Set "
            "'maxmemory-policy noeviction'."
        )
    if not info.get("aof_enabled", 1):
        yield (
            "appendonly is no, so a restart loses the latest writes or all records. Set "
            "'appendonly yes'."
        )


def missing_feature(info: Mapping[str, Any]) -> str | None:
    """Return which required feature a Redis lacks, from its INFO; None if it has all."""
    version = str(info.get("redis_version", ""))
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < 7:
        return f"Redis {version} is too old. Use Redis 7 or later, or Valkey."
    return None


def require_redis(url: str, check: Literal["refuse", "warn"]) -> None:
    """Exit this process if Redis would lose data, or if its data needs a newer version.

    With `warn`, only log what would lose data. Exits too while a restore has not finished, and if
    Redis is too old. An unavailable Redis may recover, so it passes.
    """
    try:
        info, restoring = asyncio.run(_read_redis(url))
        found = list(durability_problems(info))
    except REDIS_ERRORS as e:
        log.warning("Redis is unavailable, so it was not checked: %s", why(e))
        return
    except NewerData as e:
        raise SystemExit(f"finetuned-server: {e}") from None
    if restoring is not None:
        raise SystemExit(
            f"finetuned-server: Redis is incomplete. Unless it is being restored now, "
            f"{how_to_finish_restore(restoring)}."
        )
    if (lack := missing_feature(info)) is not None:
        raise SystemExit(f"finetuned-server: {lack}")
    if not info.get("maxmemory"):
        log.warning(
            "Redis has no 'maxmemory', so projects without a quota may use all memory of its "
            "machine. Set it, or 'record_bytes' in FINETUNED_DEFAULT_PROJECT_LIMITS."
        )
    for loss in found:
        log.warning("Redis may lose data: %s", loss)
    if found and check == "refuse":
        raise SystemExit(
            "finetuned-server: Redis would lose data: "
            + " ".join(found)
            + " If it is durable in another way, set FINETUNED_REDIS_CHECK=warn."
        )


async def _read_redis(url: str) -> tuple[dict[str, Any], str | None]:
    """Return the INFO of Redis, and the ID of the backup that is being restored, if any."""
    redis = connect(url, retries=2)
    try:
        restoring = await reply(redis.get(RESTORING))
        if restoring is None:
            await require_readable_data(redis)
        return dict(await redis.info()), None if restoring is None else text(restoring)
    finally:
        await redis.aclose(close_connection_pool=True)
