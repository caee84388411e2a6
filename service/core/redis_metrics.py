"""What a scrape asks Redis: whether it is well, what waits in the queues, who works."""

from __future__ import annotations

import asyncio
import time

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix

from service.core import metrics, queue, workers
from service.core.redis import REDIS_ERRORS

_PATIENCE_S = 2.0  # a worker's client goes on trying for minutes; a scrape must not
# Tasks that run keep their place in arq's queue, near its head: so many are looked at.
_LOOKED_AT = 200


async def observe_redis(redis: ArqRedis) -> None:
    """Set the gauges of Redis, queues and workers. A Redis that is away fails no scrape."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            began = time.perf_counter()
            await redis.ping()
            metrics.REDIS_ROUND_TRIP_SECONDS.cell().value = time.perf_counter() - began
            for name in queue.QUEUES:
                await _observe_queue(redis, name)
            _observe_workers(await workers.alive(redis))
    except (*REDIS_ERRORS, TimeoutError):
        metrics.REDIS_UP.cell().value = 0
        # Nothing is known of these now; what was true before is not told as if it still were.
        for gauge in _OF_REDIS:
            gauge.clear()
    else:
        metrics.REDIS_UP.cell().value = 1


_OF_REDIS = (
    metrics.REDIS_ROUND_TRIP_SECONDS,
    metrics.QUEUE_DEPTH,
    metrics.QUEUE_OLDEST_SECONDS,
    metrics.WORKERS,
    metrics.GPU_WORKERS_FREE,
)


async def _observe_queue(redis: ArqRedis, name: str) -> None:
    key = queue.QUEUES[name]
    depth = await redis.zcard(key)
    head = await redis.zrange(key, 0, _LOOKED_AT - 1, withscores=True)
    marks = [in_progress_key_prefix + task.decode() for task, _ in head]
    running = await redis.mget(marks) if marks else []
    # A score is the time, in ms, from which a task may run.
    waiting = [due for (_, due), mark in zip(head, running, strict=True) if mark is None]
    oldest_s = time.time() - min(waiting) / 1000 if waiting else 0.0
    metrics.QUEUE_DEPTH.cell(name).value = depth - (len(head) - len(waiting))
    metrics.QUEUE_OLDEST_SECONDS.cell(name).value = max(oldest_s, 0.0)


def _observe_workers(alive: list[workers.Worker]) -> None:
    for name in queue.QUEUES:
        metrics.WORKERS.cell(name).value = sum(name in w.queues for w in alive)
    free = sum("gpu" in w.queues and not w.busy for w in alive)
    metrics.GPU_WORKERS_FREE.cell().value = free
