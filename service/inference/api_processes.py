"""Counts the API processes of an installation, so that they share its engines' slots.

Each process announces itself every few seconds in one key of Redis, and reads the number of
processes from it. Requests do not access Redis for this.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from typing import Final

from service.core import clock, tasks
from service.core.records import PREFIX
from service.core.redis import REDIS_ERRORS, Client, why

log = logging.getLogger(__name__)
KEY: Final = f"{PREFIX}:api-processes"
_EVERY_S: Final = 5.0
_ALIVE_S: Final = 20.0
_LEAVE_S: Final = 1.0  # after that, the others notice that the entry has expired


class _Known:
    """The number of live API processes, with this one."""

    processes = 1


def share(slots: int) -> int:
    """Return this process's share of the engines' slots: at least one."""
    return max(1, slots // _Known.processes)


@contextlib.asynccontextmanager
async def counting(redis: Client, *, every_s: float = _EVERY_S) -> AsyncIterator[None]:
    """Count this process and the others inside the block. Redis may be unavailable at any time.

    Without Redis, the last number stays.
    """
    name = secrets.token_hex(8)
    task = asyncio.create_task(tasks.keep("api processes", lambda: _follow(redis, name, every_s)))
    try:
        yield
    finally:
        await tasks.end(task)
        _Known.processes = 1
        with contextlib.suppress(TimeoutError, *REDIS_ERRORS):
            async with asyncio.timeout(_LEAVE_S):
                await redis.zrem(KEY, name)


async def _follow(redis: Client, name: str, every_s: float) -> None:
    while True:
        await _count(redis, name)
        await asyncio.sleep(every_s)


async def _count(redis: Client, name: str) -> None:
    now = clock.now()
    try:
        async with redis.pipeline(transaction=True) as pipe:
            pipe.zadd(KEY, {name: now})
            pipe.zremrangebyscore(KEY, "-inf", now - _ALIVE_S)
            pipe.zcard(KEY)
            *_, found = await pipe.execute()
    except REDIS_ERRORS as e:
        log.debug("the API processes cannot be counted: %s", why(e))
        return
    if found != _Known.processes:
        log.info("API processes that share the engines: %d", found)
        _Known.processes = found
