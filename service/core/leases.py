"""Leases: which worker holds which attempt, and which process leads a background loop.

A worker that starts an attempt sets a key that expires after `lease_s`, and renews it at a third of
that time. If the worker dies, the key expires and the reconciler starts the next attempt. A lease
only shows that its holder is alive. The attempt number, which every write checks, keeps an old
holder from writing. `supervise` stops work when the worker drains or loses the attempt.

`lead` elects one of all processes for work that must not run twice at the same time.

    finetuned:lease:{subject}              held by an attempt, or by the leader of a role
    finetuned:unheld:{subject}:{attempt}   when reconcilers first saw the attempt without a lease
    finetuned:turn-taken:{role}            exists for a while after a leader has finished
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum
from typing import Any, Final, NoReturn

from service.core import ids, tasks
from service.core.records import PREFIX, Unreadable
from service.core.redis import REDIS_ERRORS, Client, reply, why

log = logging.getLogger(__name__)

# Renew or release only our own lease: compare and act in one step.
_RENEW = """
local held = redis.call('GET', KEYS[1])
if held == false or held == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
return 0
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class Held(Exception):
    """Another worker holds the lease."""


class Leases:
    """Acquires, renews and watches leases for one worker."""

    def __init__(self, redis: Client, worker: str, *, lease_s: float) -> None:
        self.redis = redis
        self.worker = worker
        self.lease_s = lease_s

    @contextlib.asynccontextmanager
    async def hold(self, subject: str, attempt: int) -> AsyncIterator[asyncio.Event]:
        """Hold the lease inside the block. The event is set when it is no longer renewed.

        Raises Held if another worker holds it.
        """
        token, lost = f"{self.worker}:{attempt}", asyncio.Event()
        if not await self._renew(subject, token):
            raise Held(subject)
        renewing = asyncio.create_task(self._keep(subject, token, lost))
        try:
            yield lost
        finally:
            try:
                await tasks.end(renewing)
            finally:
                # Not released while Redis is unavailable: the lease then expires by itself.
                with contextlib.suppress(*REDIS_ERRORS):
                    await self._run(_RELEASE, subject, token)

    async def is_held(self, subject: str) -> bool:
        """Return whether any worker holds the lease."""
        return bool(await reply(self.redis.exists(_key(subject))))

    async def unheld_s(self, subject: str, attempt: int) -> float:
        """Return the seconds since reconcilers first saw the attempt without a lease; 0 with one.

        The time counts from the first check, not from the expiry. After a Redis outage, when all
        leases are gone, living holders can then renew theirs first.
        """
        mark = f"{PREFIX}:unheld:{subject}:{attempt}"
        seconds, micros = await self.redis.time()
        now_s = seconds + micros / 1e6
        if await self.redis.exists(_key(subject)):
            await self.redis.delete(mark)
            return 0.0
        await self.redis.set(mark, now_s, nx=True, ex=3600)
        since = await self.redis.get(mark)
        return now_s - float(since) if since is not None else 0.0

    async def _keep(self, subject: str, token: str, lost: asyncio.Event) -> None:
        try:
            await self._renew_until_lost(subject, token)
        finally:
            lost.set()  # taken by another or failed here: either way nothing renews it

    async def _renew_until_lost(self, subject: str, token: str) -> None:
        while True:
            await asyncio.sleep(self.lease_s / 3)
            try:
                if not await self._renew(subject, token):
                    return
            except REDIS_ERRORS as e:
                log.warning("the lease could not be renewed yet: %s", why(e))

    async def _renew(self, subject: str, token: str) -> bool:
        return bool(await self._run(_RENEW, subject, token, int(self.lease_s * 1000)))

    async def _run(self, script: str, subject: str, *args: Any) -> Any:
        return await reply(self.redis.eval(script, 1, _key(subject), *args))


def _key(subject: str) -> str:
    return f"{PREFIX}:lease:{subject}"


LEADER_LEASE_S: Final = 10.0  # a killed leader blocks the others this long


@contextlib.asynccontextmanager
async def lead(
    redis: Client, role: str, *, every_s: float = 0.0, lease_s: float = LEADER_LEASE_S
) -> AsyncIterator[asyncio.Event]:
    """Be the only process with a role inside the block. The event is set when the lease is lost.

    Raises Held if another process has the role, or finished less than `every_s` ago.
    """
    # A new holder name each time, so that loops in one process exclude each other too.
    leases = Leases(redis, ids.random_part(), lease_s=lease_s)
    taken = f"{PREFIX}:turn-taken:{role}"
    async with leases.hold(role, 1) as lost:
        if every_s and await redis.exists(taken):
            raise Held(role)
        yield lost
        if every_s:
            await redis.set(taken, 1, px=max(int(every_s * 1000), 1))


async def run_as_leader(
    redis: Client,
    role: str,
    work: Callable[[asyncio.Event], Awaitable[None]],
    *,
    pause_s: float,
    before_try: Callable[[], Awaitable[None]],
) -> NoReturn:
    """Run `work` in one process at a time until cancelled, and again after `pause_s` if it returns.

    `work` gets an event that is set when the lease is lost, and handles its own errors, except
    those of Redis. Each process calls `before_try` before it tries to become the leader.
    """
    while True:
        await before_try()
        try:
            async with lead(redis, role) as lost:
                await work(lost)
        except Held:
            pass
        except REDIS_ERRORS as e:
            log.warning("Redis is unavailable, so the %s is delayed: %s", role, why(e))
        await asyncio.sleep(pause_s)


_LOOK_S: Final = 1.0  # poll interval for a drain, a cancellation or a deletion


class Ending(StrEnum):
    """Reason why watched work ended."""

    DONE = "done"  # by itself
    STOPPED = "stopped"  # canceled because the worker drains
    LOST = "lost"  # canceled because the attempt is no longer this worker's


async def supervise(
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
