"""Tests with a Redis that refuses writes or loses connections: workers survive it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import func
from redis.exceptions import ResponseError

from service.core import queue
from service.core.leases import Leases
from service.core.redis import Client, connect, from_json, to_json
from service.fleet import workers
from service.jobs.records import Jobs, NewEvent, Status
from service.worker.arq_queue import QueueWorker
from tests.conftest import Api, chat_line, checked, upload
from tests.jobs.test_fair_share import job
from tests.lossy import road_to

pytestmark = pytest.mark.slow

FILE = "\n".join(chat_line(f"q{i}", f"a{i}") for i in range(12)).encode()
REFUSALS = {"min-replicas-to-write": ("1", "0"), "maxmemory": ("1", "0")}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.02)


@pytest.fixture
async def refusing(redis):
    """Make Valkey refuse writes inside a block."""

    @contextlib.asynccontextmanager
    async def refusing(setting: str) -> AsyncIterator[None]:
        refuse, accept = REFUSALS[setting]
        await redis.config_set(setting, refuse)
        try:
            yield
        finally:
            await redis.config_set(setting, accept)

    return refusing


@pytest.mark.parametrize(
    ("setting", "answer"),
    [
        ("min-replicas-to-write", (503, "service_unavailable")),
        ("maxmemory", (503, "redis_full")),
    ],
)
@pytest.mark.slow
async def test_a_worker_goes_on_when_writes_are_accepted_again(
    redis, refusing, api: Api, http, work, caplog, monkeypatch, setting, answer
):
    monkeypatch.setattr(workers, "HEARTBEAT_S", 0.1)
    file_id = (await upload(http, FILE)).json()["id"]
    async with contextlib.AsyncExitStack() as stack:
        async with refusing(setting):
            await stack.enter_async_context(work("cpu"))
            await until(lambda: f"queue {queue.CPU}: Redis is unavailable" in caplog.text)
            await until(lambda: "nothing dispatched" in caplog.text)
            refused = await upload(http, FILE)
            assert (refused.status_code, refused.json()["error"]["code"]) == answer, refused.text
        assert (await checked(http, file_id))["status"] == "processed"
        async with asyncio.timeout(60):
            while not await workers.alive(redis):
                await asyncio.sleep(0.05)
        # The reconciler is alive too: it finds jobs that are in no queue.
        second = (await upload(http, FILE)).json()["id"]
        assert (await checked(http, second))["status"] == "processed"


@pytest.mark.parametrize("setting", REFUSALS)
async def test_a_lease_is_renewed_after_refusals(redis, refusing, caplog, setting):
    leases = Leases(redis, "worker", lease_s=0.3)
    async with leases.hold("thing", 1) as lost:
        async with refusing(setting):
            await until(lambda: "could not be renewed yet" in caplog.text)
        async with asyncio.timeout(60):
            while not await redis.exists("finetuned:lease:thing"):
                await asyncio.sleep(0.02)
        assert not lost.is_set()


async def test_a_refusal_tells_the_log_no_record(redis, refusing, caplog):
    async with refusing("min-replicas-to-write"):
        await workers.Presence(redis, worker_of("a secret name")).announce()
        async with redis.pipeline(transaction=True) as pipe:
            pipe.set("key", "a secret value")
            with pytest.raises(Exception, match="NOREPLICAS") as refused:
                await pipe.execute()
    assert "secret" not in str(refused.value)
    assert "Redis is unavailable: ResponseError NOREPLICAS" in caplog.text
    assert "secret" not in caplog.text


def worker_of(name: str) -> workers.Worker:
    return workers.Worker(
        name=name, queues=("cpu",), device="cpu", device_name="x", gpus=0, memory_bytes=None
    )


@contextlib.asynccontextmanager
async def polling(client: ArqRedis, run: Callable[..., Any]) -> AsyncIterator[QueueWorker]:
    """A queue worker with one slot."""
    worker = QueueWorker(
        on_poll=lambda: None,
        functions=[func(run, name="task", max_tries=1)],
        queue_name=queue.CPU,
        redis_pool=client,
        handle_signals=False,
        max_jobs=1,
        keep_result=0,
        poll_delay=0.01,
        job_serializer=to_json,
        job_deserializer=from_json,
    )
    task = asyncio.create_task(worker.run_forever())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.wait([task])
        await asyncio.gather(*worker.tasks.values())


@pytest.mark.slow
async def test_a_lost_response_costs_no_slot(redis, settings):
    done: list[str] = []

    async def run(_ctx, _project: str, subject: str, _attempt: int) -> None:
        done.append(subject)

    async with road_to(settings.redis_url.get_secret_value()) as road:
        client = connect(road.url)
        async with polling(client, run):
            for name in ("a", "b", "c"):
                road.lose(b"EVAL", b"in-progress:task:")
                await queue.enqueue(redis, queue.CPU, "task", "p", name, 1)
                await until(partial(done.__contains__, name))
        assert road.lost == 3
        await client.aclose(close_connection_pool=True)


async def test_a_task_that_ends_during_refusals_leaves_its_queue(redis, refusing, caplog):
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def run(_ctx, _project: str, _subject: str, _attempt: int) -> None:
        begun.set()
        await may_end.wait()

    await queue.enqueue(redis, queue.CPU, "task", "p", "a", 1)
    async with polling(redis, run):
        await asyncio.wait_for(begun.wait(), 60)
        async with refusing("min-replicas-to-write"):
            may_end.set()
            await until(lambda: "cannot be removed from its queue yet" in caplog.text)
        async with asyncio.timeout(60):
            while await redis.zcard(queue.CPU):
                await asyncio.sleep(0.02)


async def test_a_write_of_a_training_waits_until_writes_are_accepted(
    settings, redis, refusing, caplog
):
    patient = connect(settings.redis_url.get_secret_value(), patience_s=120)
    jobs = Jobs(patient)
    await jobs.create(job("a", status=Status.RUNNING))
    event = NewEvent(message="Step 1/2: training loss=1.00")
    async with refusing("min-replicas-to-write"):
        writing = asyncio.create_task(
            jobs.change("proj_a", "ftjob-a", lambda j: j, events=lambda _: [event])
        )
        with pytest.raises(ResponseError, match="NOREPLICAS"):  # a client without patience
            await Jobs(connect_impatient(redis)).change("proj_a", "ftjob-a", lambda j: j)
        assert not writing.done()
    await asyncio.wait_for(writing, 60)
    events, _ = await jobs.events_before("proj_a", "ftjob-a", None, 10)
    assert [e.message for e in events] == [event.message]
    await patient.aclose(close_connection_pool=True)


def connect_impatient(client: Client) -> Client:
    """Open the same connections without patience."""
    return Client(client.connection_pool, patience_s=0)
