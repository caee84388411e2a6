"""Tests of a failover of Redis that loses the start of an attempt, whose number is used again."""

from __future__ import annotations

import pytest

from service.core.storage import Storage
from service.evals.records import RunRecord
from service.exports.records import ExportRecord
from service.files.curation.records import Task, TaskKind, Tasks
from service.jobs import checkpoints, lifecycle, recovery
from service.jobs.records import JobFailure, JobRecord, Jobs, Status
from service.work.records import AttemptSuperseded
from tests.jobs.test_fair_share import job

FAILURE = JobFailure(code="x", message="It failed.")


async def next_attempt(jobs: Jobs, running: JobRecord) -> JobRecord:
    """Lose an attempt, and start the next one."""
    queued = await recovery.lose(jobs, running, 9)
    return await jobs.change(
        queued.project_id, queued.id, lambda j: lifecycle.start(j, queued.attempt, 1)
    )


@pytest.fixture
async def twins(redis) -> tuple[JobRecord, JobRecord]:
    """Two attempts with the same number, of which Redis knows only the second."""
    jobs = Jobs(redis)
    first = await jobs.create(job("a", status=Status.RUNNING))
    key = jobs.records.key(first.project_id, first.id)
    kept = await redis.get(key)
    forgotten = await next_attempt(jobs, first)
    await redis.set(key, kept)
    return forgotten, await next_attempt(jobs, first)


async def test_the_forgotten_attempt_of_a_job_writes_nothing(redis, twins):
    jobs, (forgotten, known) = Jobs(redis), twins
    assert forgotten.attempt == known.attempt == 2
    with pytest.raises(AttemptSuperseded):
        await recovery.fail(jobs, forgotten, FAILURE)
    with pytest.raises(AttemptSuperseded):
        await recovery.lose(jobs, forgotten, 9)
    assert await jobs.get(known.project_id, known.id) == known


async def test_both_attempts_have_their_own_place_in_storage(twins, tmp_path):
    storage = Storage.from_url((tmp_path / "storage").as_uri())
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "adapter_model.safetensors").write_bytes(b"adapter")
    places = {(await checkpoints.put_adapter(storage, j, tmp_path / "made", {}))[0] for j in twins}
    assert len(places) == 2
    assert all("/a2-" in place for place in places)


async def test_the_record_of_an_older_version_is_of_the_same_attempt(redis, twins):
    """It has dropped the nonce, which must not end a running attempt."""
    jobs, (_, known) = Jobs(redis), twins
    old = known.model_copy(update={"nonce": ""})
    await redis.set(jobs.records.key(known.project_id, known.id), old.model_dump_json())
    after = await jobs.change(
        known.project_id, known.id, lambda j: lifecycle.require_running(j, known)
    )
    assert after.attempt == known.attempt


async def test_the_forgotten_attempt_of_a_task_writes_nothing(redis):
    tasks = Tasks(redis)
    task = await tasks.create(
        Task(
            id="report-1",
            project_id="proj_a",
            created_at=1,
            file_id="file-1",
            kind=TaskKind.REPORT,
            options={},
        )
    )
    key = tasks.collection(task.file_id).key(task.project_id, task.id)
    kept = await redis.get(key)
    forgotten = await tasks.restart(task)
    await redis.set(key, kept)
    known = await tasks.restart(task)
    with pytest.raises(AttemptSuperseded):
        await tasks.finish(forgotten)
    await tasks.finish(known)


def test_the_forgotten_attempts_of_exports_and_runs_write_nothing():
    export = ExportRecord(
        id="export-1", project_id="p", created_at=1, model="m", base_model="b", job_id=None,
        artifact="a", digest="d", key_id="k", format="adapter", expires_at=2,
    )  # fmt: skip
    run = RunRecord(
        id="evalrun_1", project_id="p", created_at=1, eval_id="eval_1", key_id="k", name="",
        metadata={}, data_source={}, model=None,
    )  # fmt: skip
    second = {"attempt": 2}
    forgotten, known = [export.model_copy(update=second).changed_from(export) for _ in range(2)]
    with pytest.raises(AttemptSuperseded):
        known.require_attempt(forgotten)
    assert forgotten.attempt_name != known.attempt_name
    lost, current = [run.model_copy(update=second).changed_from(run) for _ in range(2)]
    with pytest.raises(AttemptSuperseded):
        current.require_attempt(lost)
