"""Registry of live workers, their capacity and whether they are busy, with one key per worker.

A worker renews its key while it runs, and rewrites it immediately when it starts or ends a
training, so that the dispatcher sees a free worker as soon as there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from service.core import clock
from service.core.records import PREFIX, parse_known
from service.core.redis import REDIS_ERRORS, Client, reply, why

log = logging.getLogger(__name__)
_ALL = f"{PREFIX}:workers"
HEARTBEAT_S = 5.0
_ALIVE_S = 20.0


class Capacity(BaseModel):
    """Training capacity of a machine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    device: Literal["cuda", "cpu"]
    device_name: str
    gpus: int  # number of GPUs that the worker may use
    memory_bytes: int | None  # of one GPU, if known; without a GPU, of the machine or container
    # Of the machine or container, for a training on GPUs. None if unknown, as in older workers.
    host_memory_bytes: int | None = None
    # How one training uses several GPUs. Workers of older versions use one of them.
    sharding: Literal["auto", "ddp", "fsdp"] | None = None
    # Whether it computes in bfloat16; None if unknown, as in workers of older versions.
    has_bf16: bool | None = None

    @property
    def total_bytes(self) -> float:
        """Memory of all GPUs, or of the machine; infinite if unknown."""
        return float("inf") if self.memory_bytes is None else self.memory_bytes * max(self.gpus, 1)

    def gpus_for(self, batch_size: int) -> int:
        """Return the number of processes of a training, of which each has a part of a batch."""
        return 1 if self.sharding is None else max(min(self.gpus, batch_size), 1)

    def shards(self, batch_size: int) -> bool:
        """Return whether several GPUs may each hold a part of the base model (FSDP)."""
        return self.sharding in ("auto", "fsdp") and self.gpus_for(batch_size) > 1


class Worker(Capacity):
    """A worker as seen by other processes."""

    name: str
    queues: tuple[str, ...]
    busy: bool = False  # takes no training: it has one, or is shutting down
    task: str | None = None  # arq's id of the current training
    makes_gguf: bool = False  # has the packages for exports to GGUF
    # Unknown in workers of versions before 0.3.
    version: str | None = None
    announced_at: int | None = None
    tasks: tuple[str, ...] = ()  # arq's ids of the tasks of all queues
    memory_used_bytes: tuple[int, ...] | None = None  # of each GPU, if the driver reports it
    fault: str | None = None  # why its GPUs cannot be used: it is busy, and takes no training


async def announce(redis: Client, worker: Worker) -> None:
    """Announce that this worker is alive. The announcement is valid for 20 seconds."""
    worker = worker.model_copy(update={"announced_at": clock.now_s()})
    async with redis.pipeline(transaction=True) as pipe:
        pipe.sadd(_ALL, worker.name)
        pipe.set(_key(worker.name), worker.model_dump_json(), px=int(_ALIVE_S * 1000))
        await pipe.execute()


async def leave(redis: Client, name: str) -> None:
    """Announce that this worker is stopping."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.srem(_ALL, name)
        pipe.delete(_key(name))
        await pipe.execute()


async def alive(redis: Client) -> list[Worker]:
    """Return the workers that announced themselves in the last 20 seconds, sorted by name."""
    names = sorted(n.decode() for n in await reply(redis.smembers(_ALL)))
    if not names:
        return []
    found = await redis.mget([_key(n) for n in names])
    dead = [n for n, raw in zip(names, found, strict=True) if raw is None]
    if dead:
        await reply(redis.srem(_ALL, *dead))
    return parse_known(Worker, zip(names, found, strict=True))


class Presence:
    """Keeps one worker's announcement current."""

    def __init__(
        self,
        redis: Client,
        worker: Worker,
        current: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        """Create the presence of a worker. `current` returns fields to announce as they are now."""
        self._redis = redis
        self._worker = worker
        self._current = current
        self._leaving = False
        # Serialize writes: a heartbeat must not overtake the announcement that the worker is busy.
        self._writing = asyncio.Lock()

    @property
    def worker(self) -> Worker:
        """The worker's current state."""
        return self._worker

    async def announce(self) -> None:
        """Announce the worker's current state. If Redis is down, the next heartbeat does."""
        async with self._writing:
            try:
                await announce(self._redis, self._worker.model_copy(update={**self._current()}))
            except REDIS_ERRORS as e:
                log.warning("Redis is unavailable: %s", why(e))

    @contextlib.asynccontextmanager
    async def training(self, task: str) -> AsyncIterator[None]:
        """Mark the worker as busy with a task inside the block."""
        await self._change(busy=True, task=task)
        try:
            yield
        finally:
            await self._change(busy=self._leaving, task=None)

    async def stop_taking(self) -> None:
        """Mark the worker as busy until it exits, after it was asked to stop."""
        self._leaving = True
        await self._change(busy=True, task=self._worker.task)

    async def _change(self, *, busy: bool, task: str | None) -> None:
        self._worker = self._worker.model_copy(update={"busy": busy, "task": task})
        await self.announce()


def _key(name: str) -> str:
    return f"{PREFIX}:worker-alive:{name}"
