"""Work under a lease, which stops when the worker drains or another attempt has taken over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Final

from service.core import tasks
from service.core.records import Unreadable
from service.core.redis import REDIS_ERRORS

_LOOK_S: Final = 1.0  # poll interval for a drain, a cancellation or a deletion


class Ending(StrEnum):
    """Reason why watched work ended."""

    DONE = "done"  # by itself
    STOPPED = "stopped"  # canceled because the worker drains
    LOST = "lost"  # canceled because the attempt is no longer this worker's


async def watched(
    running: asyncio.Task[Any],
    *,
    draining: asyncio.Event,
    lease_lost: asyncio.Event,
    is_ours: Callable[[], Awaitable[bool]],
    stop: Callable[[], object] | None = None,
) -> Ending:
    """Wait for a task, and end it when the worker drains or the attempt is lost.

    A drain calls `stop`, which cancels the task by default. `is_ours` returns whether the record
    still names this attempt. Work continues while that cannot be read. Raises the error that the
    task failed with.
    """
    ending = Ending.LOST

    async def is_lost() -> bool:
        try:
            return lease_lost.is_set() or not await is_ours()
        except (*REDIS_ERRORS, Unreadable):
            return False

    async def watch() -> None:
        nonlocal ending
        while not await is_lost():
            if draining.is_set():
                ending = Ending.STOPPED
                (stop or running.cancel)()
                return
            await asyncio.sleep(_LOOK_S)
        running.cancel()

    watching = asyncio.create_task(tasks.keep("attempt watch", watch))
    try:
        await asyncio.wait([running])
    finally:
        await tasks.end(watching)
        running.cancel()
        await asyncio.wait([running])
    if running.cancelled():
        return ending
    running.result()
    return Ending.DONE
