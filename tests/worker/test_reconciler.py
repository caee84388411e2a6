"""Tests that abandoned work is found: lost entries, dead workers, store outages."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from arq.constants import in_progress_key_prefix

from service.core import queue
from service.core.leases import Held, Leases
from service.core.queue import EntryState
from service.files.records import CheckOutcome, FileRecord, FileStatus
from service.fleet import workers
from service.fleet.capacity import measure
from service.jobs import lifecycle
from service.jobs.evaluation.records import Evaluations, EvaluationStatus, JobEvaluation
from service.jobs.records import JobRecord, Status
from service.work.records import AttemptSuperseded
from service.worker.reconciler import Reconciler
from tests.conftest import Api

pytestmark = pytest.mark.slow

TAKEN = EntryState.TAKEN


async def entries(api: Api, name: str) -> list[str]:
    return [e.decode() for e in await api.app.state.redis.zrange(name, 0, -1)]


async def take(api: Api, function: str, subject: str, attempt: int) -> None:
    """Leave in Redis what a worker leaves that was killed after taking an entry."""
    mark = in_progress_key_prefix + queue.task_id(function, subject, attempt)
    await api.app.state.redis.set(mark, b"1")


async def rounds(reconciler: Reconciler, seconds: float) -> None:
    """Run the reconciler for a while, as in a worker."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await reconciler.run()


async def running(api: Api, job: JobRecord) -> JobRecord:
    jobs = api.app.state.jobs
    queued = await jobs.change(
        job.project_id, job.id, lambda j: lifecycle.prepare(j, j.hyperparameters, 1)
    )
    return await jobs.change(
        job.project_id, job.id, lambda j: lifecycle.start(j, queued.attempt, 1)
    )


async def test_missing_entries_are_enqueued_once(api: Api, reconciler, job):
    await api.app.state.redis.delete(queue.CPU, queue.GPU)
    for key in await api.app.state.redis.keys("arq:job:*"):
        await api.app.state.redis.delete(key)
    await reconciler.once()
    await reconciler.once()
    assert sorted(await entries(api, queue.CPU)) == [
        f"check_file:{job.training_file}:1",
        f"prepare_job:{job.id}:1",
    ]


async def lose(api: Api, reconciler: Reconciler, function: str, subject: str, attempt: int) -> None:
    """Lose an attempt as a worker does that is killed, and wait until the reconciler notices."""
    await take(api, function, subject, attempt)
    async with asyncio.timeout(60):
        while await queue.state(api.app.state.redis, function, subject, attempt) is TAKEN:
            await reconciler.once()
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("function", ["check_file", "prepare_job"])
async def test_work_whose_worker_died_is_done_by_the_next(api: Api, reconciler, job, function):
    subject = job.training_file if function == "check_file" else job.id
    await lose(api, reconciler, function, subject, 1)
    left = await entries(api, queue.CPU)
    assert f"{function}:{subject}:2" in left
    assert f"{function}:{subject}:1" not in left


async def test_a_file_that_kills_its_worker_is_given_up(api: Api, reconciler, job):
    files = api.app.state.files
    for attempt in (1, 2, 3):
        await lose(api, reconciler, "check_file", job.training_file, attempt)
    after = await files.get(job.project_id, job.training_file, 0)
    assert after.status is FileStatus.ERROR
    assert "died several times" in after.status_details
    await reconciler.once()
    assert not [e for e in await entries(api, queue.CPU) if e.startswith("check_file")]


async def test_a_late_check_does_not_hide_the_next_attempt(api: Api, reconciler, job):
    """The worker of a lost attempt comes back: it writes nothing, and the next one is found."""
    files, redis = api.app.state.files, api.app.state.redis
    lost = await files.get(job.project_id, job.training_file, 0)
    await lose(api, reconciler, "check_file", job.training_file, 1)
    with pytest.raises(AttemptSuperseded):
        await files.checks.finish(lost, CheckOutcome(FileStatus.ERROR, "late", certain=False))
    assert (await files.get(job.project_id, job.training_file, 0)).status is FileStatus.UPLOADED
    assert await redis.sismember(
        FileRecord.work.unfinished_key, f"{job.project_id}/{job.training_file}"
    )


async def test_a_preparation_that_kills_its_worker_fails_the_job(api: Api, reconciler, job):
    for attempt in (1, 2, 3):
        await lose(api, reconciler, "prepare_job", job.id, attempt)
    after = await api.app.state.jobs.get(job.project_id, job.id)
    assert (after.status, after.error.code) == (Status.FAILED, "preparation_interrupted")
    (event,), _ = await api.app.state.jobs.events_before(job.project_id, job.id, None, 1)
    assert event.message == after.error.message


async def test_an_evaluation_that_kills_its_worker_fails(api: Api, reconciler, job):
    evaluations = Evaluations(api.app.state.redis)
    evaluation = JobEvaluation(
        id=job.id, project_id=job.project_id, created_at=1, model="ft:x", artifact="a"
    )
    async with api.app.state.redis.pipeline() as pipe:
        evaluations.add(pipe, evaluation)
        await pipe.execute()
    for attempt in (1, 2, 3):
        await lose(api, reconciler, "evaluate_job", evaluation.subject, attempt)
    after = await evaluations.get(job.project_id, job.id)
    assert after is not None
    assert after.error is not None
    assert (after.status, after.error.code) == (
        EvaluationStatus.FAILED,
        "evaluation_interrupted",
    )
    (event,), _ = await api.app.state.jobs.events_before(job.project_id, job.id, None, 1)
    assert after.error.message in event.message
    again = await evaluations.restart(after)
    assert (again.status, again.lost_attempts) == (EvaluationStatus.IN_PROGRESS, 0)


async def test_a_training_whose_worker_died_goes_on_under_the_next_attempt(
    api: Api, reconciler, job
):
    await running(api, job)
    other = workers.Worker(name="other", queues=("gpu",), **measure().model_dump())
    await workers.announce(api.app.state.redis, other)
    await lose(api, reconciler, "train", job.id, 1)
    after = await api.app.state.jobs.get(job.project_id, job.id)
    assert (after.status, after.attempt) == (Status.QUEUED, 2)
    left = await entries(api, queue.GPU)
    assert f"train:{job.id}:2" in left
    assert f"train:{job.id}:1" not in left


async def test_a_training_with_a_living_worker_is_left_alone(api: Api, reconciler, job):
    await running(api, job)
    await take(api, "train", job.id, 1)
    worker = Leases(api.app.state.redis, "other", lease_s=api.settings.lease_s)
    async with worker.hold(job.id, 1):
        await rounds(reconciler, 2.5)
    after = await api.app.state.jobs.get(job.project_id, job.id)
    assert (after.status, after.attempt) == (Status.RUNNING, 1)


async def test_two_reconcilers_make_one_attempt(api: Api, reconciler, job):
    await running(api, job)
    await take(api, "train", job.id, 1)
    async with asyncio.timeout(60):
        while (after := await api.app.state.jobs.get(job.project_id, job.id)).attempt == 1:
            await asyncio.gather(reconciler.once(), reconciler.once())
            await asyncio.sleep(0.05)
    assert after.attempt == 2


async def test_a_lease_has_one_holder_and_is_given_back(api: Api):
    redis = api.app.state.redis
    first, second = Leases(redis, "a", lease_s=1), Leases(redis, "b", lease_s=1)
    async with first.hold("x", 1):
        with pytest.raises(Held):
            async with second.hold("x", 1):
                pytest.fail("two workers hold one lease")
        await asyncio.sleep(1.5)  # renewed beyond its own length
        with pytest.raises(Held):
            async with second.hold("x", 1):
                pytest.fail("the lease was not renewed")
    async with second.hold("x", 1):
        pass


async def test_a_holder_learns_that_its_lease_went_to_another(api: Api):
    redis = api.app.state.redis
    first, second = Leases(redis, "a", lease_s=0.6), Leases(redis, "b", lease_s=5)
    async with first.hold("x", 1) as lost:
        await redis.delete("finetuned:lease:x")  # as an outage of the store may do
        async with second.hold("x", 2):
            await asyncio.wait_for(lost.wait(), 3)
