"""Tests of scraped metrics of Redis, queues and workers, also while Redis is unavailable."""

from __future__ import annotations

import asyncio
import time

import pytest
from arq.constants import in_progress_key_prefix

from service.core import queue
from service.core.redis import connect
from service.fleet import workers
from service.fleet.redis_metrics import observe_redis
from tests.core.conftest import Valkey
from tests.metrics.samples import Since, current, value

pytestmark = pytest.mark.slow


@pytest.fixture
def valkey(tmp_path):
    server = Valkey(tmp_path / "valkey")
    yield server
    server.close()


@pytest.fixture
async def redis(valkey):
    # As patient as a worker's: a scrape must not wait as long.
    redis = connect(valkey.url, retries=120, patience_s=120)
    yield redis
    await redis.aclose(close_connection_pool=True)


async def scraped(redis):
    await observe_redis(redis)
    return current()


async def test_waiting_tasks_and_their_age_are_exported(redis):
    for n in range(3):
        await queue.enqueue(redis, queue.CPU, "check_file", "proj_a", f"file-{n}", 1)
    running = queue.task_id("check_file", "file-0", 1)
    await redis.set(in_progress_key_prefix + running, b"1")
    ago_ms = (time.time() - 100) * 1000
    await redis.zadd(
        queue.CPU, {running: ago_ms - 1000, queue.task_id("check_file", "file-1", 1): ago_ms}
    )
    found = await scraped(redis)
    assert value(found, "queue_depth", queue="cpu") == 2
    assert value(found, "queue_depth", queue="gpu") == 0
    assert value(found, "queue_oldest_seconds", queue="cpu") == pytest.approx(100, abs=5)
    assert value(found, "queue_oldest_seconds", queue="gpu") == 0


async def test_workers_and_free_workers_are_exported_by_queue(redis):
    has = {"device": "cpu", "device_name": "x", "gpus": 0, "memory_bytes": 1}
    for name, queues, busy in (("a", ("gpu",), True), ("b", ("cpu", "gpu"), False)):
        await workers.announce(redis, workers.Worker(name=name, queues=queues, busy=busy, **has))
    found = await scraped(redis)
    assert value(found, "workers", queue="gpu") == 2
    assert value(found, "workers", queue="cpu") == 1
    assert value(found, "gpu_workers_free") == 1


async def test_the_memory_limit_is_exported_if_there_is_one(redis):
    assert value(await scraped(redis), "redis_memory_limit_bytes") is None
    await redis.config_set("maxmemory", "100mb")
    assert value(await scraped(redis), "redis_memory_limit_bytes") == 100 * 2**20


@pytest.mark.parametrize("how", ["kill", "hang"])
async def test_an_outage_and_its_end_are_exported_in_time(valkey, redis, how):
    since = Since()
    found = await scraped(redis)
    assert value(found, "redis_up") == 1
    assert (value(found, "redis_round_trip_seconds") or 0) > 0
    assert (value(found, "redis_memory_bytes") or 0) > 0
    {"kill": valkey.kill, "hang": valkey.hang}[how]()
    async with asyncio.timeout(60):  # a hung Redis never answers
        found = await scraped(redis)
    assert value(found, "redis_up") == 0
    assert value(found, "queue_depth", queue="cpu") is None
    assert value(found, "redis_memory_bytes") is None
    {"kill": valkey.start, "hang": valkey.resume}[how]()
    until = time.monotonic() + 10
    while value(await scraped(redis), "redis_up") == 0:
        assert time.monotonic() < until
    if how == "kill":
        assert since.grown("redis_reconnects_total") >= 1
