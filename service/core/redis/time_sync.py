"""Measures how far this host's clock is from that of Redis: at the start, then every minute."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from service.core import clock, tasks
from service.core.redis.client import REDIS_ERRORS, Client, why

log = logging.getLogger(__name__)
_EVERY_S: Final = 60.0
_MAX_ROUND_TRIP_S: Final = 1.0  # a slower answer says little about the time
_IGNORED_S: Final = 0.1
_NOTEWORTHY_S: Final = 5.0


@contextlib.asynccontextmanager
async def follow_clock(redis: Client) -> AsyncIterator[None]:
    """Use the clock of Redis while the context is open. Redis may be unavailable at any time."""
    await _try_to_measure(redis)
    task = asyncio.create_task(tasks.keep("clock", lambda: _follow(redis)), name="clock")
    try:
        yield
    finally:
        await tasks.end(task)


async def _follow(redis: Client) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        await _try_to_measure(redis)


async def _try_to_measure(redis: Client) -> None:
    try:
        await _measure(redis)
    except REDIS_ERRORS as e:
        log.debug("the clock of Redis cannot be read: %s", why(e))


async def _measure(redis: Client) -> None:
    """Measure the difference between the clocks. Raises REDIS_ERRORS."""
    before, began = time.time(), time.monotonic()
    seconds, micros = await redis.time()
    round_trip_s = time.monotonic() - began
    if round_trip_s > _MAX_ROUND_TRIP_S:
        return
    ahead_s = seconds + micros / 1e6 - (before + round_trip_s / 2)
    change_s = abs(ahead_s - clock.difference_s())
    if change_s < max(_IGNORED_S, round_trip_s / 2):
        return  # a clock that keeps changing would mix up the order of records
    if change_s > _NOTEWORTHY_S:
        log.warning(
            "this host's clock differs from that of Redis by %.1f s. Synchronize both (NTP). The "
            "service uses the time of Redis.",
            -ahead_s,
        )
    clock.set_difference(ahead_s)
