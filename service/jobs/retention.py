"""Removal of old metrics from the event streams of jobs, into the jobs' result files.

A training has an event per step, which Redis would keep in memory forever. Messages stay.
"""

from __future__ import annotations

from service.core import ids
from service.core.redis import reply, text
from service.files.records import Files
from service.jobs.attempt.results import write_results
from service.jobs.records import WITH_METRICS, JobRecord, Jobs
from service.jobs.tracking.records import TrackedRuns

_AT_ONCE = 20  # jobs in a round, so that it does not delay other work


async def sweep(jobs: Jobs, files: Files, ended_before_s: float) -> None:
    """Remove the metrics of jobs that ended before this time. A result file is written first.

    Metrics that are not in the job's MLflow run yet are kept until a later round.
    """
    tracked_runs = TrackedRuns(jobs.redis)
    due = jobs.redis.zrangebyscore(WITH_METRICS, "-inf", ended_before_s, start=0, num=_AT_ONCE)
    for member in await reply(due):
        project_id, job_id = text(member).split("/", 1)
        if await tracked_runs.is_unfinished(project_id, job_id):
            await reply(jobs.redis.zadd(WITH_METRICS, {member: ids.now_s()}, xx=True))
            continue
        job = await jobs.get(project_id, job_id)
        if job is not None:
            await _keep_results(jobs, files, job)
            await jobs.remove_metrics(project_id, job_id)
        await reply(jobs.redis.zrem(WITH_METRICS, member))


async def _keep_results(jobs: Jobs, files: Files, job: JobRecord) -> None:
    """Write the result file of a job that failed or was cancelled after some steps."""
    if job.result_files or not await jobs.has_metrics(job.project_id, job.id):
        return
    results = await write_results(job, jobs, files)
    await jobs.change(
        job.project_id,
        job.id,
        lambda current: current.model_copy(update={"result_files": (results.id,)}),
    )
