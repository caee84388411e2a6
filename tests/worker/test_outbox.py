"""Tests that each end of a job is counted once and warms up its model, whichever process dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from service.core import metrics, outbox
from service.core.metric_types import Counter
from service.core.outbox import Event
from service.core.redis import Client
from service.fleet.redis_metrics import observe_redis
from service.jobs import lifecycle
from service.jobs.engine_requests import WARM_UPS
from service.jobs.records import JobFailure, JobRecord, Jobs
from service.jobs.recovery import fail, lose
from service.webhooks.schemas import RENAMED, EventType
from tests.conftest import BASE_MODEL, Api
from tests.http_server import http_server
from tests.jobs.running import running_job
from tests.killed_worker import killed_worker
from tests.metrics.samples import current, value

pytestmark = pytest.mark.slow
STATUSES = ("succeeded", "failed", "cancelled")
EVENT_COUNTERS = [m for m in metrics.declared() if isinstance(m, Counter) and m.events]


@pytest.fixture
def redis(api: Api) -> Client:
    return api.app.state.redis


async def taken_job(api: Api) -> JobRecord:
    """A job of project acme that a worker has taken."""
    project = await api.app.state.projects.by_name("acme")
    jobs: Jobs = api.app.state.jobs
    return await jobs.create(running_job(project.id))


async def succeeds(api: Api, http, job: JobRecord) -> None:
    await api.app.state.jobs.change(
        job.project_id,
        job.id,
        lambda j: lifecycle.succeed(
            j, j, model="ft:new", result_files=(), trained_tokens=1, now_s=1
        ),
    )


async def fails(api: Api, http, job: JobRecord) -> None:
    await fail(api.app.state.jobs, job, JobFailure(code="c", message="m"))


async def loses_its_last_attempt(api: Api, http, job: JobRecord) -> None:
    await lose(api.app.state.jobs, job, most_lost=1)


async def is_cancelled(api: Api, http, job: JobRecord) -> None:
    answer = await http.post(f"/v1/fine_tuning/jobs/{job.id}/cancel")
    assert answer.status_code == 200, answer.text


async def processed(redis: Client) -> None:
    """Wait until the outbox is empty."""
    async with asyncio.timeout(60):
        while await redis.exists(outbox.OUTBOX):
            await asyncio.sleep(0.02)


async def scraped(redis: Client) -> dict[str, float | None]:
    """The number of ended jobs by status, as in a scrape of any process."""
    await observe_redis(redis)
    found = current()
    return {status: value(found, "jobs_total", status=status) for status in STATUSES}


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (succeeds, "succeeded"),
        (fails, "failed"),
        (loses_its_last_attempt, "failed"),
        (is_cancelled, "cancelled"),
    ],
)
async def test_each_end_is_counted_once(
    api: Api, http, redis, work, end: Callable[..., Awaitable[None]], status
):
    job = await taken_job(api)
    await end(api, http, job)
    # From here on, the process that ended the job may be gone: the worker that counts is another.
    async with work("cpu"), work("cpu"):
        await processed(redis)
    assert await scraped(redis) == {s: float(s == status) for s in STATUSES}
    assert (await api.app.state.jobs.get(job.project_id, job.id)).status == status


def test_every_event_type_is_counted():
    counted = {event for metric in EVENT_COUNTERS for event in metric.events.values()}
    # Sweeps and exports have their names of 0.2 in the outbox. A worse alias ends nothing.
    others = {*RENAMED.values(), EventType.ALIAS_WORSENED}
    assert counted == {event for event in EventType if event not in others}


async def test_operations_are_counted_by_object_and_status(redis):
    await redis.hset(outbox.PROCESSED, "dataset.merge.failed", "3")
    await redis.hset(outbox.PROCESSED, "export.succeeded", "2")
    await observe_redis(redis)
    found = current()
    assert value(found, "operations_total", object="dataset.merge", status="failed") == 3
    assert value(found, "operations_total", object="model.export", status="completed") == 2


async def test_a_process_exports_no_number_that_it_has_not_read(redis):
    await redis.hset(outbox.PROCESSED, "fine_tuning.job.failed", "5")
    for metric in EVENT_COUNTERS:
        metric.clear()
        metric.begin()
    found = current()
    assert value(found, "jobs_total", status="failed") is None
    assert await scraped(redis) == {"succeeded": 0, "failed": 5, "cancelled": 0}


def numbered(number: int) -> Event:
    return Event(
        id=f"evt_{number}",
        project_id="proj_a",
        created_at=number,
        type="fine_tuning.job.failed",
        subject_id=f"ftjob-{number}",
    )


async def test_a_worker_killed_while_it_counts_loses_and_repeats_nothing(settings, redis, work):
    async with redis.pipeline() as pipe:
        for number in range(300):
            outbox.add(pipe, numbered(number))
        await pipe.execute()
    async with killed_worker(settings), asyncio.timeout(60):
        while not await redis.exists(outbox.PROCESSED):
            await asyncio.sleep(0.001)
    async with work("cpu"), work("cpu"):
        await processed(redis)
    assert (await scraped(redis))["failed"] == 300


async def test_an_event_of_a_newer_version_is_kept_and_blocks_no_other(redis):
    newer = [f'{{"event": {number}, "schema": 2}}' for number in range(150)]
    await redis.zadd(outbox.OUTBOX, dict.fromkeys(newer, 0))
    async with redis.pipeline() as pipe:
        for number in range(1, 151):
            outbox.add(pipe, numbered(number))
        await pipe.execute()
    seen: list[str] = []

    async def read(event: Event) -> list[outbox.Command]:
        seen.append(event.id)
        return [["INCR", "read"]]

    assert await outbox.process(redis, [read]) == 150
    assert await outbox.process(redis, [read]) == 0
    assert seen == [f"evt_{number}" for number in range(1, 151)]
    assert await redis.get("read") == b"150"
    left = await redis.zrange(outbox.OUTBOX, 0, -1)
    assert sorted(m.decode() for m in left) == sorted(newer)


@contextlib.asynccontextmanager
async def serving(settings) -> AsyncIterator[list[str]]:
    """An engine of the base model; yields the models that it was asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/health":
            return web.Response()
        asked.append((await request.json())["model"])
        return web.json_response({})

    async with http_server(answer) as url:
        settings.upstreams = {BASE_MODEL: url}
        yield asked


async def warmed(redis: Client) -> None:
    """Wait until no warm-up is left."""
    await processed(redis)
    async with asyncio.timeout(60):
        while await redis.exists(WARM_UPS):
            await asyncio.sleep(0.02)


async def test_a_new_model_is_warmed_up_once_although_its_trainer_worker_is_gone(
    settings, api: Api, http, redis, work
):
    await succeeds(api, http, await taken_job(api))
    await fails(api, http, await taken_job(api))
    async with serving(settings) as asked, work("cpu"):
        settings.worker_name = "other-worker"  # a lease has a worker's name
        async with work("cpu"):
            await warmed(redis)
    assert asked == ["ft:new"]


async def test_a_warm_up_of_a_killed_worker_is_done_by_another(
    settings, api: Api, http, redis, work
):
    job = await taken_job(api)
    await succeeds(api, http, job)
    await redis.delete(outbox.OUTBOX)
    await redis.zadd(WARM_UPS, {f"{job.project_id}/{job.id}": 1})
    await redis.set(f"finetuned:lease:warm-up:{job.id}", "killed:1", px=500)
    async with serving(settings) as asked, work("cpu"):
        await warmed(redis)
    assert asked == ["ft:new"]


async def test_what_cannot_be_warmed_up_is_not_asked_for_again(api: Api, http, redis, work):
    """The base model has no engine, or the job is gone."""
    await succeeds(api, http, await taken_job(api))
    await redis.zadd(WARM_UPS, {"proj_a/ftjob-gone": 1})
    async with work("cpu"):
        await warmed(redis)
