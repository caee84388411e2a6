"""The result file of a job: a CSV of its metrics by step."""

from __future__ import annotations

import csv
import hashlib
import io

from service.core import clock, ids
from service.core.redis import reply, text
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.jobs.records import WITH_METRICS, JobRecord, Jobs
from service.jobs.tracking.records import TrackedRuns

COLUMNS = {
    "step": "step",
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
}
REWARDS = {name: name for name in ("train_reward_mean", "valid_reward_mean")}
# Of the steps since the row before it, in the files of jobs with several steps per row.
LOWEST, HIGHEST = "train_loss_min", "train_loss_max"
_MAX_JOBS = 20  # jobs in a round, so that it does not delay other work


async def write_results(job: JobRecord, jobs: Jobs, files: Files) -> FileRecord:
    """Store the job's metrics as a file, or return that file if it already exists.

    The quota does not refuse it, because the job has its model already.
    """
    file_id = ids.FILE + job.id.removeprefix(ids.JOB)
    known = await files.records.get(job.project_id, file_id)
    if known is not None:
        return known
    data = (await _csv(job, jobs)).encode()
    record = FileRecord(
        id=file_id,
        project_id=job.project_id,
        created_at=clock.now_s(),
        filename="step_metrics.csv",
        purpose=Purpose.RESULTS,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        status=FileStatus.PROCESSED,
        key_id=job.key_id,
    )
    await files.begin(job.project_id, file_id)  # the job may be canceled before it is added
    await files.storage.put_bytes(record.content_key, data, is_limited=False)
    return await files.add(record)


async def _csv(job: JobRecord, jobs: Jobs) -> str:
    # If a step was trained again after a recovery, its latest metrics count.
    rows = {int(row["step"]): row for row in await jobs.metrics_of(job.project_id, job.id)}
    columns = list((COLUMNS if job.grader is None else COLUMNS | REWARDS).items())
    has_intervals = any("interval" in row for row in rows.values())
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    spans = [LOWEST, HIGHEST] if has_intervals else []
    writer.writerow([*(column for column, _ in columns), *spans])
    for step in sorted(rows):
        row = rows[step]
        loss = row.get("train_loss", "")
        lowest, _, highest = row.get("interval", {}).get("train_loss", (loss, loss, loss))
        values = [row.get(name, "") for _, name in columns]
        writer.writerow([*values, *([lowest, highest] if has_intervals else [])])
    return out.getvalue()


async def remove_old_metrics(jobs: Jobs, files: Files, ended_before_s: float) -> None:
    """Remove the metrics of jobs that ended before this time. A result file is written first.

    Metrics that are not in the job's MLflow run yet are kept until a later round.
    """
    tracked_runs = TrackedRuns(jobs.redis)
    due = jobs.redis.zrangebyscore(WITH_METRICS, "-inf", ended_before_s, start=0, num=_MAX_JOBS)
    for member in await reply(due):
        project_id, job_id = text(member).split("/", 1)
        if await tracked_runs.is_unfinished(project_id, job_id):
            await reply(jobs.redis.zadd(WITH_METRICS, {member: clock.now_s()}, xx=True))
            continue
        job = await jobs.get(project_id, job_id)
        if job is not None:
            await _ensure_results(jobs, files, job)
            await jobs.remove_metrics(project_id, job_id)
        await reply(jobs.redis.zrem(WITH_METRICS, member))


async def _ensure_results(jobs: Jobs, files: Files, job: JobRecord) -> None:
    """Write the result file of a job that failed or was cancelled after some steps."""
    if job.result_files or not await jobs.has_metrics(job.project_id, job.id):
        return
    results = await write_results(job, jobs, files)
    await jobs.change(
        job.project_id,
        job.id,
        lambda current: current.model_copy(update={"result_files": (results.id,)}),
    )
