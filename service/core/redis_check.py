"""Checks of Redis before a process starts.

It keeps what is written to it, its data is complete, and this version can read it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from service.core import schema
from service.core.redis import REDIS_ERRORS, Client, connect, reply, text, why

log = logging.getLogger(__name__)
RESTORING = "finetuned:restoring"
"""The Redis key with the ID of the backup that is being restored, or with `REBUILDING`."""
REBUILDING = "journal:"
"""Begins the mark of a rebuild. The ID of the installation follows."""


def unfinished(mark: str) -> str:
    """Return what to do about a restore that has not finished."""
    if mark.startswith(REBUILDING):
        return "a rebuild was interrupted: repeat it with 'finetuned-server rebuild'"
    return (
        f"the restore of backup {mark} was interrupted: repeat it with 'finetuned-server restore "
        f"SOURCE --at {mark}'"
    )


async def is_complete(redis: Client) -> bool:
    """Return whether no restore is writing to Redis. Raises REDIS_ERRORS if it is unavailable."""
    return not await redis.exists(RESTORING)


def losses(info: Mapping[str, Any]) -> Iterator[str]:
    """Yield what in the settings of a Redis, from its INFO, loses data, and how to fix it."""
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


def lacks(info: Mapping[str, Any]) -> str | None:
    """Return what a Redis, from its INFO, cannot do; None if it can do all."""
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
        info, restoring = asyncio.run(_ask(url))
        found = list(losses(info))
    except REDIS_ERRORS as e:
        log.warning("Redis is unavailable, so it was not checked: %s", why(e))
        return
    except schema.NewerData as e:
        raise SystemExit(f"finetuned-server: {e}") from None
    if restoring is not None:
        raise SystemExit(
            f"finetuned-server: Redis is incomplete. Unless it is being restored now, "
            f"{unfinished(restoring)}."
        )
    if (lack := lacks(info)) is not None:
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


async def _ask(url: str) -> tuple[dict[str, Any], str | None]:
    """Return the INFO of Redis, and the ID of the backup that is being restored, if any."""
    redis = connect(url, retries=2)
    try:
        restoring = await reply(redis.get(RESTORING))
        if restoring is None:
            await schema.require(redis)
        return dict(await redis.info()), None if restoring is None else text(restoring)
    finally:
        await redis.aclose(close_connection_pool=True)
