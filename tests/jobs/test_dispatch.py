"""Tests of arq's gpu queue: it never holds more jobs than free workers can take."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from service.config import Settings
from service.core import queue
from service.core.leases import Leases
from service.core.redis import Client
from service.fleet import workers
from service.fleet.capacity import measure
from service.fleet.workers import Capacity
from service.jobs import lifecycle
from service.jobs.dispatch import Dispatcher
from service.jobs.records import JobRecord, Jobs, Status
from service.worker.main import WorkerProcess
from tests.conftest import Api
from tests.jobs.planning.test_estimate import gpu, large_model
from tests.jobs.planning.test_machines import prepared
from tests.jobs.test_fair_share import job
from tests.jobs.test_jobs import JOBS, create, until, upload

pytestmark = pytest.mark.slow
# So that a job which only a later round of the reconciler would find fails the test.
SELDOM = {"reconcile_every_s": 600.0}


@dataclass
class Installation:
    """Records and queue on an empty Valkey, and dispatchers as in several processes."""

    redis: Client
    settings: Settings

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.redis)

    def dispatcher(self, **settings: int) -> Dispatcher:
        return Dispatcher(self.jobs, self.redis, self.settings.model_copy(update=settings))

    async def dispatch(self) -> list[str]:
        """Dispatch once, and return the names of the jobs in arq's queue."""
        await self.dispatcher().dispatch()
        return await self.entries()

    async def entries(self) -> list[str]:
        found = await self.redis.zrange(queue.GPU, 0, -1)
        return sorted(e.decode().removeprefix("train:ftjob-") for e in found)

    async def messages(self, name: str) -> list[str]:
        """Return the messages of a job's events."""
        found = await self.jobs.events_after(f"proj_{name[0]}", f"ftjob-{name}", None)
        return [event.message for event in found]

    async def worker(
        self, name: str, queues: tuple[str, ...] = ("gpu",), capacity: Capacity | None = None
    ) -> workers.Presence:
        capacity = capacity or measure()
        worker = workers.Worker(name=name, queues=queues, **capacity.model_dump())
        presence = workers.Presence(self.redis, worker)
        await presence.announce()
        return presence

    async def queued(self, *names: str, priority: int = 0) -> None:
        for at, name in enumerate(names, 1):
            await self.jobs.create(job(name, priority, at))

    async def change(self, name: str, change: Callable[[JobRecord], JobRecord]) -> JobRecord:
        return await self.jobs.change(f"proj_{name[0]}", f"ftjob-{name}", change)


@pytest.fixture
def here(redis: Client, settings: Settings) -> Installation:
    return Installation(redis, settings)


async def test_a_job_that_only_a_newer_version_can_read_takes_no_slot(here: Installation):
    await here.queued("a1", priority=9)
    await here.queued("b1")
    key = here.jobs.records.key("proj_a", "ftjob-a1")
    record = json.loads(await here.redis.get(key))
    await here.redis.set(key, json.dumps(record | {"method": "of a newer version"}))
    await here.worker("gpu")
    assert await here.dispatch() == ["b1:1"]


async def test_a_job_waits_in_the_records_until_a_gpu_worker_lives(here: Installation):
    await here.queued("a1", "a2")
    await here.worker("files", ("cpu",))
    assert await here.dispatch() == []
    await here.worker("both", ("cpu", "gpu"))
    assert await here.dispatch() == ["a1:1"]
    assert await here.dispatch() == ["a1:1"], "its worker is spoken for"
    await here.worker("second")
    assert await here.dispatch() == ["a1:1", "a2:1"]


async def test_free_workers_get_what_is_next(here: Installation):
    await here.queued("a1", "a2", "a3")
    await here.queued("b1")
    await here.queued("c1", priority=-1)
    await here.worker("w1")
    await here.worker("w2")
    assert await here.dispatch() == ["a1:1", "b1:1"]


async def test_a_project_at_its_limit_waits_for_its_own_jobs_to_end(here: Installation):
    await here.queued("a1", "a2", "a3")
    for name in ("w1", "w2", "w3"):
        await here.worker(name)
    dispatcher = here.dispatcher(max_running_jobs_per_project=1)
    await dispatcher.dispatch()
    assert await here.entries() == ["a1:1"]
    await here.change("a1", lambda j: lifecycle.start(j, 1, 5))
    await dispatcher.dispatch()
    assert await here.entries() == ["a1:1"]
    await here.change("a1", lambda j: lifecycle.cancel(j, 6))
    await dispatcher.dispatch()
    assert await here.entries() == ["a1:1", "a2:1"]


async def test_a_worker_is_busy_with_its_task_from_taking_it_to_its_end(here: Installation):
    await here.queued("a1", "a2", "a3")
    first = await here.worker("w1")
    await here.worker("w2")
    assert await here.dispatch() == ["a1:1", "a2:1"]
    async with first.training(queue.task_id("train", "ftjob-a1", 1)):
        # Taken and not yet "running": one worker and its job, counted once.
        assert await here.dispatch() == ["a1:1", "a2:1"]
        await here.change("a1", lambda j: lifecycle.start(j, 1, 5))
        assert await here.dispatch() == ["a1:1", "a2:1"]
    assert await here.dispatch() == ["a1:1", "a2:1", "a3:1"]


async def test_a_worker_that_is_told_to_stop_gets_nothing(here: Installation):
    await here.queued("a1")
    presence = await here.worker("w1")
    async with presence.training("train:ftjob-z:1"):
        await presence.stop_taking()
    assert await here.dispatch() == []


async def test_a_paused_job_in_arq_frees_its_slot_and_waits_its_turn_again(here: Installation):
    await here.queued("a1", "a2")
    await here.worker("w1")
    assert await here.dispatch() == ["a1:1"]
    await here.change("a1", lifecycle.pause)
    assert await here.dispatch() == ["a1:1", "a2:1"], "the worker will refuse the paused one"
    await here.change("a1", lambda j: lifecycle.resume(j, 9))
    assert await here.dispatch() == ["a1:1", "a2:1"]
    await here.change("a2", lambda j: lifecycle.cancel(j, 9))
    assert await here.dispatch() == ["a1:1", "a1:2", "a2:1"]


async def test_entries_that_the_store_lost_are_made_again(here: Installation):
    await here.queued("a1", "a2")
    await here.worker("w1")
    await here.dispatch()
    await here.redis.delete(queue.GPU, "arq:job:train:ftjob-a1:1")
    assert await here.dispatch() == ["a1:1"]


async def test_dispatchers_at_once_never_fill_more_than_the_free_workers(here: Installation):
    """Each dispatcher sees a new job that precedes all others."""
    for i in range(4):
        await here.worker(f"w{i}")

    async def arrive(i: int) -> None:
        await asyncio.sleep(i / 1000)
        await here.queued(f"a{i}", priority=i)
        await here.dispatcher().dispatch()

    await asyncio.gather(*(arrive(i) for i in range(60)))
    assert len(await here.entries()) == 4


async def test_no_call_is_lost_while_another_dispatches(here: Installation):
    for i in range(30):
        await here.worker(f"w{i}")

    async def arrive(i: int) -> None:
        await asyncio.sleep(i / 500)
        await here.queued(f"a{i}")
        await here.dispatcher().dispatch()

    await asyncio.gather(*(arrive(i) for i in range(30)))
    assert len(await here.entries()) == 30


async def test_no_call_is_lost_as_another_ends(here: Installation, monkeypatch):
    """The second call comes after the first checked for marks but before it unlocks."""
    await here.queued("a1")
    await here.worker("w1")
    await here.worker("w2")
    look, came = here.redis.getdel, asyncio.Event()

    async def look_then_another_comes(key: str) -> bytes | None:
        mark = await look(key)
        if mark is None and not came.is_set():
            came.set()
            await here.queued("a2")
            assert await here.dispatch() == ["a1:1"], "the first holds the lock"
        return mark

    monkeypatch.setattr(here.redis, "getdel", look_then_another_comes)
    assert await here.dispatch() == ["a1:1", "a2:1"]


async def test_a_dispatcher_that_was_killed_holds_up_the_others_for_seconds_only(
    here: Installation,
):
    await here.queued("a1")
    await here.worker("w1")
    killed = Leases(here.redis, "killed", lease_s=0.5)
    async with killed.hold("dispatch", 0):
        assert await here.dispatch() == []
        await here.redis.pexpire("finetuned:lease:dispatch", 1)
        await asyncio.sleep(0.05)
        assert await here.dispatch() == ["a1:1"]


@pytest.fixture
def large(here: Installation, tmp_path) -> None:
    """The base model "base" has 8 billion parameters, which fit 24 GiB and not 14."""
    path = large_model(tmp_path / "llama")
    here.settings.models_file.write_text(
        f"models:\n- {{id: base, path: {path}, license: mit, context_length: 8192}}\n"
    )


@pytest.mark.usefixtures("large")
async def test_a_job_waits_for_a_worker_with_enough_memory(here: Installation):
    await here.jobs.create(prepared())
    await here.queued("b1", "c1")
    await here.worker("small", capacity=gpu(14))
    large = await here.worker("large", capacity=gpu(24))
    async with large.training("train:other:1"):
        assert await here.dispatch() == ["b1:1"], "only the small worker is free"
    assert await here.dispatch() == ["a1:1", "b1:1"]
    assert await here.messages("a1") == []


@pytest.mark.usefixtures("large")
async def test_small_jobs_leave_the_large_worker_to_others(here: Installation):
    await here.queued("b1")
    await here.jobs.create(prepared().model_copy(update={"queued_at": 9}))
    for name, gib in (("large", 24), ("small", 14)):
        await here.worker(name, capacity=gpu(gib))
    assert await here.dispatch() == ["a1:1", "b1:1"]


@pytest.mark.usefixtures("large")
async def test_a_job_that_fits_no_worker_says_so_once_and_waits(here: Installation):
    await here.jobs.create(prepared())
    await here.worker("small", capacity=gpu(14))
    assert await here.dispatch() == await here.dispatch() == []
    (message,) = await here.messages("a1")
    assert message.startswith("No online worker has enough memory for this job")
    await here.worker("large", capacity=gpu(24))
    assert await here.dispatch() == ["a1:1"]


@pytest.mark.usefixtures("large")
async def test_a_worker_leaves_a_job_that_it_cannot_run_to_others(here: Installation, monkeypatch):
    """The queue is as after the large worker, for which the job was dispatched, has died."""
    await here.jobs.create(prepared())
    await here.worker("large", capacity=gpu(24))
    assert await here.dispatch() == ["a1:1"]
    monkeypatch.setattr("service.worker.main.measure", lambda: gpu(14))
    await here.queued("b1")
    await here.change("b1", lambda j: j.model_copy(update={"model": "gone"}))
    async with gpu_workers(here.settings, 1):
        async with asyncio.timeout(60):
            while (await here.change("b1", lambda j: j)).status is not Status.FAILED:
                await asyncio.sleep(0.05)
    waiting = await queue.waiting(here.redis, queue.GPU)
    assert (waiting.tasks, await here.entries()) == (1, ["a1:1"])
    assert (await here.change("a1", lambda j: j)).status is Status.QUEUED


@contextlib.asynccontextmanager
async def gpu_workers(settings: Settings, number: int) -> AsyncIterator[None]:
    """Run real gpu workers in this event loop."""
    started = [
        WorkerProcess(
            settings.model_copy(update={"worker_port": 0, "worker_name": f"gpu-{i}"} | SELDOM),
            ("gpu",),
        )
        for i in range(number)
    ]
    running = [asyncio.create_task(worker.run()) for worker in started]
    try:
        yield
    finally:
        for worker in started:
            worker.stop()
        await asyncio.gather(*running)


async def queued_job(http, file_id: str, **fields) -> str:
    return (await until(http, (await create(http, file_id, **fields))["id"], "queued"))["id"]


async def started(api: Api, http, job_id: str) -> str:
    """Return the id of the job's start event. Ids are ordered by time across jobs."""
    events = (await http.get(f"{JOBS}/{job_id}/events", params={"limit": 100})).json()["data"]
    return next(e["id"] for e in events if e["message"] == "Fine-tuning job started")


@pytest.mark.usefixtures("tiny")
async def test_one_real_worker_runs_all_jobs_higher_priority_first(api: Api, http, chats, work):
    """Trainings whose file is missing end immediately, in the real task of a real worker.

    They are prepared while no worker is online that trains, and planned when one is.
    """
    file_id = await upload(http, chats(12))
    async with work("cpu"):
        low = await queued_job(http, file_id, priority=-1)
        plain = await queued_job(http, file_id)
        high = await queued_job(http, file_id, priority=100)
    await http.delete(f"/v1/files/{file_id}")
    async with gpu_workers(api.settings, 1):
        for job_id in (low, plain, high):
            await until(http, job_id, "failed")
    begins = [await started(api, http, job_id) for job_id in (high, plain, low)]
    assert begins == sorted(begins)
    events = (await http.get(f"{JOBS}/{low}/events")).json()["data"]
    assert any(e["message"].startswith("Planned again for this worker: memory") for e in events)


async def test_many_jobs_of_two_projects_all_end_on_three_real_workers(api: Api, chats, work):
    async with await api.client("acme") as acme, await api.client("other") as other:
        made = []
        async with work("cpu"):
            for client, number in ((acme, 8), (other, 3)):
                file_id = await upload(client, chats(12))
                made += [(client, await queued_job(client, file_id)) for _ in range(number)]
                await client.delete(f"/v1/files/{file_id}")
        async with gpu_workers(api.settings, 3):
            ended = [await until(client, job_id, "failed") for client, job_id in made]
    assert {(j["attempt"], j["error"]["code"]) for j in ended} == {(1, "file_not_found")}
    assert await api.app.state.redis.zcard(queue.GPU) == 0


async def test_place_in_the_queue_counts_other_projects_jobs_and_tells_no_more(
    api: Api, http, chats, work
):
    async with await api.client("other") as other, work("cpu"):
        theirs = await queued_job(other, await upload(other, chats(12)), priority=7)
        file_id = await upload(http, chats(12))
        second = await queued_job(http, file_id)
        third = await queued_job(http, file_id, priority=-100)
        listed = (await http.get(JOBS)).json()["data"]
        assert [(j["id"], j["queue_position"], j["priority"]) for j in listed] == [
            (third, 3, -100),
            (second, 2, 0),
        ]
        assert (await http.get(f"{JOBS}/{third}")).json()["queue_position"] == 3
        await other.post(f"{JOBS}/{theirs}/pause")
        assert (await http.get(f"{JOBS}/{second}")).json()["queue_position"] == 1
        paused = (await other.get(f"{JOBS}/{theirs}")).json()
        assert (paused["status"], paused["queue_position"]) == ("paused", None)


@pytest.mark.parametrize("priority", [-101, 101, 0.5, "high", None])
async def test_a_priority_out_of_bounds_is_refused(http, chats, priority):
    body = {"model": "tiny-base", "training_file": await upload(http, chats(12))}
    answer = await http.post(JOBS, json={**body, "priority": priority})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "priority"


async def test_a_project_with_too_many_waiting_jobs_is_told_to_come_again(api: Api, http, chats):
    api.settings.max_queued_jobs_per_project = 2
    file_id = await upload(http, chats(12))
    first = await create(http, file_id)
    await create(http, file_id)
    body = {"model": "tiny-base", "training_file": file_id}
    refused = await http.post(JOBS, json=body)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) <= 60, "the SDKs heed no longer wait"
    assert refused.json()["error"]["code"] == "limit_reached"
    assert len((await http.get(JOBS)).json()["data"]) == 2
    async with await api.client("other") as other:
        await create(other, await upload(other, chats(12)))
    await http.post(f"{JOBS}/{first['id']}/cancel")
    assert (await http.post(JOBS, json=body)).status_code == 200
