"""Reads metrics from Redis at scrape time: its health, queue depths, workers, and ended work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from service.core import clock, metrics, outbox, queue
from service.core.metric_types import Counter
from service.core.redis import REDIS_ERRORS, Client
from service.fleet import workers

_PATIENCE_S = 2.0  # a worker's client retries for minutes, which a scrape must not


async def observe_redis(redis: Client) -> None:
    """Set the metrics that Redis knows. A scrape succeeds even if Redis is down."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            began = time.perf_counter()
            await redis.ping()
            metrics.REDIS_ROUND_TRIP_SECONDS.cell().set(time.perf_counter() - began)
            _observe_memory(await redis.info("memory"))
            for name in queue.QUEUES:
                await _observe_queue(redis, name)
            _observe_workers(await workers.alive(redis))
            _observe_events(await outbox.processed_by_type(redis))
    except (*REDIS_ERRORS, TimeoutError):
        metrics.REDIS_UP.cell().set(0)
        # These values are unknown now, and stale ones must not be reported as current.
        for metric in metrics.declared():
            if metric.group.is_read_from_redis:
                metric.clear()
    else:
        metrics.REDIS_UP.cell().set(1)


def _observe_memory(info: Mapping[str, Any]) -> None:
    metrics.REDIS_MEMORY_BYTES.cell().set(info["used_memory"])
    if limit := info.get("maxmemory"):
        metrics.REDIS_MEMORY_LIMIT_BYTES.cell().set(limit)
    else:
        metrics.REDIS_MEMORY_LIMIT_BYTES.clear()


def _observe_events(processed: Mapping[str, int]) -> None:
    for metric in metrics.declared():
        if isinstance(metric, Counter):
            for labels, event in metric.events.items():
                metric.cell(*labels).set(processed.get(event, 0))


async def _observe_queue(redis: Client, name: str) -> None:
    waiting = await queue.waiting(redis, queue.QUEUES[name])
    oldest_s = 0.0 if waiting.oldest_due_s is None else clock.now() - waiting.oldest_due_s
    metrics.QUEUE_DEPTH.cell(name).set(waiting.tasks)
    metrics.QUEUE_OLDEST_SECONDS.cell(name).set(max(oldest_s, 0.0))


def _observe_workers(alive: list[workers.Worker]) -> None:
    for name in queue.QUEUES:
        kind = queue.WORKERS_OF[name]
        metrics.WORKERS.cell(name).set(sum(kind in w.queues for w in alive))
    free = sum("gpu" in w.queues and not w.busy for w in alive)
    metrics.GPU_WORKERS_FREE.cell().set(free)
