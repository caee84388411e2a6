"""Tests of a worker's announcements about itself."""

from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY

from service import __version__
from service.core.redis import Client
from service.exporting import missing_packages
from service.fleet import workers
from service.fleet.capacity import measure
from service.jobs.records import Status
from service.jobs.recovery import observe
from tests.jobs.test_fair_share import brief


def worker(name: str) -> workers.Worker:
    return workers.Worker(name=name, queues=("gpu",), **measure().model_dump())


async def alive(redis: Client) -> list[workers.Worker]:
    """The workers that are alive, without the time of their announcements."""
    found = await workers.alive(redis)
    assert all(one.announced_at is not None for one in found)
    return [one.model_copy(update={"announced_at": None}) for one in found]


async def test_busy_is_said_at_once_and_outlives_a_heartbeat(redis: Client):
    presence = workers.Presence(redis, worker("w"))
    await presence.announce()
    assert await alive(redis) == [worker("w")]
    async with presence.training("train:x:1"):
        await asyncio.gather(presence.announce(), presence.announce())
        (seen,) = await workers.alive(redis)
        assert (seen.busy, seen.task) == (True, "train:x:1")
    assert await alive(redis) == [worker("w")]


async def test_a_worker_that_is_told_to_stop_stays_busy_after_its_training(redis: Client):
    presence = workers.Presence(redis, worker("w"))
    async with presence.training("train:x:1"):
        await presence.stop_taking()
        (seen,) = await workers.alive(redis)
        assert seen.task == "train:x:1"
    (seen,) = await workers.alive(redis)
    assert (seen.busy, seen.task) == (True, None)


async def test_a_worker_that_left_or_fell_silent_is_not_alive(redis: Client):
    for name in ("silent", "left", "here"):
        await workers.announce(redis, worker(name))
    await workers.leave(redis, "left")
    await redis.delete("finetuned:worker-alive:silent")
    assert [w.name for w in await workers.alive(redis)] == ["here"]


async def test_a_real_worker_tells_its_queues_and_leaves(redis: Client, work):
    async with work("cpu", "gpu"), asyncio.timeout(60):
        while not (found := await alive(redis)):
            await asyncio.sleep(0.02)
    capacity = measure().model_dump()
    capacity |= {"makes_gguf": not missing_packages(), "version": __version__}
    assert found == [workers.Worker(name="test-worker", queues=("cpu", "gpu"), **capacity)]
    assert await workers.alive(redis) == []


def test_gauges_of_unfinished_jobs():
    running = brief("a9", status=Status.RUNNING)
    observe([brief("a1", queued_at=40), brief("a2", queued_at=90), running], now_s=100)
    read = REGISTRY.get_sample_value
    assert read("finetuned_jobs_unfinished", {"status": "queued"}) == 2
    assert read("finetuned_jobs_unfinished", {"status": "running"}) == 1
    assert read("finetuned_jobs_unfinished", {"status": "paused"}) == 0
    assert read("finetuned_oldest_queued_job_seconds") == 60
    observe([], now_s=100)
    assert read("finetuned_jobs_unfinished", {"status": "queued"}) == 0
    assert read("finetuned_oldest_queued_job_seconds") == 0
