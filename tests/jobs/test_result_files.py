"""Tests that metrics of old jobs leave Redis, and are then in the jobs' result files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.core import clock
from service.core.leases import Leases
from service.files.records import FileRecord
from service.jobs import lifecycle
from service.jobs.records import JobFailure, JobRecord, Jobs, NewEvent
from service.jobs.result_files import remove_old_metrics, write_results
from service.training.contract.protocol import StepDone
from tests.conftest import Api
from tests.files_below import files_below
from tests.jobs.running import running_job

pytestmark = pytest.mark.slow

STEPS = 300


def step(number: int) -> NewEvent:
    """Return the event of a step, as an attempt writes it."""
    done = StepDone(
        step=number, total_steps=STEPS, train_loss=2.345678, train_mean_token_accuracy=0.567891,
        learning_rate=1.98765e-4, tokens_per_second=12345.67, trained_tokens=4096 * number,
        grad_norm=0.876543,
    )  # fmt: skip
    return NewEvent(
        message=f"Step {number}/{STEPS}: training loss=2.35",
        type="metrics",
        data=done.model_dump(exclude={"type"}, exclude_none=True),
    )


@pytest.fixture
async def job(api: Api) -> JobRecord:
    jobs = api.app.state.jobs
    project = await api.app.state.projects.create("acme")
    job = await jobs.create(running_job(project.id), NewEvent(message="Created"))
    for first in range(1, STEPS, 100):
        events = [step(number) for number in range(first, first + 100)]
        events.append(NewEvent(message=f"Checkpoint saved at step {first + 99}"))
        await jobs.change(job.project_id, job.id, lambda j: j, events=lambda _, e=events: e)
    return job


async def end(jobs: Jobs, job: JobRecord, how: str) -> None:
    failure = JobFailure(code="internal_error", message="m")
    changes = {
        "failed": lambda j: lifecycle.fail(j, j, failure, clock.now_s()),
        "cancelled": lambda j: lifecycle.cancel(j, clock.now_s()),
    }
    await jobs.change(job.project_id, job.id, changes[how])


async def test_results_that_a_canceled_attempt_did_not_add_are_swept(
    api: Api, job: JobRecord, monkeypatch: pytest.MonkeyPatch
):
    files, redis = api.app.state.files, api.app.state.redis

    async def canceled(record: FileRecord) -> None:
        assert await files.storage.get_bytes(record.content_key)
        raise asyncio.CancelledError

    monkeypatch.setattr(files, "put_manifest", canceled)
    with pytest.raises(asyncio.CancelledError):
        await write_results(job, api.app.state.jobs, files)
    await files.sweep(Leases(redis, "w1", lease_s=30), clock.now_s() + 48 * 3600)
    assert not files_below(Path(api.settings.data_dir, "storage", job.project_id, "files"))


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_metrics_of_an_old_job_move_into_its_result_file(api: Api, job: JobRecord, how: str):
    jobs, files = api.app.state.jobs, api.app.state.files
    await end(jobs, job, how)
    await remove_old_metrics(jobs, files, clock.now_s() - 60)
    assert await jobs.has_metrics(job.project_id, job.id), "it has just ended"
    stream = f"finetuned:{job.project_id}:events:{job.id}"
    before = await jobs.redis.memory_usage(stream, samples=0)
    await remove_old_metrics(jobs, files, clock.now_s())
    after = await jobs.redis.memory_usage(stream, samples=0)
    print(f"{before / STEPS:.0f} bytes per step; {after} bytes are left of {before}")
    assert after < before / 10
    events, _ = await jobs.events_before(job.project_id, job.id, None, 1000)
    assert [event.type for event in events] == ["message"] * 4
    (result,) = (await jobs.get(job.project_id, job.id)).result_files
    record = await files.get(job.project_id, result, clock.now_s())
    lines = (await files.storage.get_bytes(record.content_key)).decode().splitlines()
    assert (len(lines), lines[1].split(",")[:2]) == (STEPS + 1, ["1", "2.345678"])
    # Nothing is left to do.
    assert await jobs.redis.zcard("finetuned:jobs-with-metrics") == 0


async def test_a_result_file_that_its_owner_deleted_does_not_come_back(api: Api, job: JobRecord):
    jobs, files = api.app.state.jobs, api.app.state.files
    result_files = await write_results(job, jobs, files)
    await jobs.change(
        job.project_id,
        job.id,
        lambda j: lifecycle.succeed(
            j, j, model="m", result_files=(result_files.id,), trained_tokens=1, now_s=clock.now_s()
        ),
    )
    await files.delete(result_files)
    await remove_old_metrics(jobs, files, clock.now_s())
    assert not await jobs.has_metrics(job.project_id, job.id)
    assert await files.get(job.project_id, result_files.id, clock.now_s()) is None


async def test_a_job_without_steps_gets_no_result_file(api: Api):
    jobs, files = api.app.state.jobs, api.app.state.files
    job = await jobs.create(running_job("proj_a"), NewEvent(message="Created"))
    await end(jobs, job, "cancelled")
    await remove_old_metrics(jobs, files, clock.now_s())
    assert (await jobs.get("proj_a", job.id)).result_files == ()


async def test_a_sweep_that_was_killed_is_done_again(api: Api, job: JobRecord, monkeypatch):
    jobs, files = api.app.state.jobs, api.app.state.files
    await end(jobs, job, "failed")

    async def never(*_: object) -> None:
        await asyncio.get_running_loop().create_future()

    with monkeypatch.context() as patch:
        patch.setattr(Jobs, "remove_metrics", never)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(remove_old_metrics(jobs, files, clock.now_s()), 1)
    (written,) = (await jobs.get(job.project_id, job.id)).result_files
    await remove_old_metrics(jobs, files, clock.now_s())
    assert (await jobs.get(job.project_id, job.id)).result_files == (written,)
    assert not await jobs.has_metrics(job.project_id, job.id)
