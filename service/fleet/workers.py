"""Which workers are alive, what they have, and whether they are busy: a key each.

The key is renewed while the worker runs and written at once when it takes or ends a
training, so that the dispatcher sees a free worker as soon as there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Literal

from pydantic import BaseModel, ConfigDict

from service.core.records import PREFIX, parse_known
from service.core.redis import REDIS_ERRORS, Client, reply, why

log = logging.getLogger(__name__)
_ALL = f"{PREFIX}:workers"
HEARTBEAT_S = 5.0
_ALIVE_S = 20.0


class Capacity(BaseModel):
    """What a machine can train on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    device: Literal["cuda", "cpu"]
    device_name: str
    gpus: int  # that the worker may use
    memory_bytes: int | None  # of one GPU, if known; without one, of the machine or container


class Worker(Capacity):
    """A worker as the others see it."""

    name: str
    queues: tuple[str, ...]
    busy: bool = False  # takes no training now: it has one, or it is about to end
    task: str | None = None  # arq's id of the training that it has


async def announce(redis: Client, worker: Worker) -> None:
    """Say that this worker is alive; good for 20 seconds."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.sadd(_ALL, worker.name)
        pipe.set(_key(worker.name), worker.model_dump_json(), px=int(_ALIVE_S * 1000))
        await pipe.execute()


async def leave(redis: Client, name: str) -> None:
    """Say that this worker stops."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.srem(_ALL, name)
        pipe.delete(_key(name))
        await pipe.execute()


async def alive(redis: Client) -> list[Worker]:
    """The workers that were heard of in the last 20 seconds, by name."""
    names = sorted(n.decode() for n in await reply(redis.smembers(_ALL)))
    if not names:
        return []
    found = await redis.mget([_key(n) for n in names])
    dead = [n for n, raw in zip(names, found, strict=True) if raw is None]
    if dead:
        await reply(redis.srem(_ALL, *dead))
    return parse_known(Worker, zip(names, found, strict=True))


class Presence:
    """One worker's announcement, kept true."""

    def __init__(self, redis: Client, worker: Worker) -> None:
        self._redis = redis
        self._worker = worker
        self._leaving = False
        # One write at a time: a heartbeat must not overtake the news that the worker is busy.
        self._writing = asyncio.Lock()

    @property
    def worker(self) -> Worker:
        """The worker as it is now."""
        return self._worker

    async def say(self) -> None:
        """Announce the worker as it is now. Redis away: the next heartbeat says it."""
        async with self._writing:
            try:
                await announce(self._redis, self._worker)
            except REDIS_ERRORS as e:
                log.warning("Redis is away: %s", why(e))

    @contextlib.asynccontextmanager
    async def training(self, task: str) -> AsyncIterator[None]:
        """Be busy with a task inside the block."""
        await self._change(busy=True, task=task)
        try:
            yield
        finally:
            await self._change(busy=self._leaving, task=None)

    async def stop_taking(self) -> None:
        """Be busy until the end: the worker is told to stop."""
        self._leaving = True
        await self._change(busy=True, task=self._worker.task)

    async def _change(self, *, busy: bool, task: str | None) -> None:
        self._worker = self._worker.model_copy(update={"busy": busy, "task": task})
        await self.say()


def _key(name: str) -> str:
    return f"{PREFIX}:worker-alive:{name}"
