"""Repairs of jobs: lost preparations and trainings, and preparations that are in no queue."""

from __future__ import annotations

from service.core import metrics, queue
from service.core.queue import EntryState
from service.core.redis import reply
from service.jobs import lifecycle
from service.jobs.outcomes import lose, lose_preparation
from service.jobs.records import ACTIVE, FINAL, JobRecord, Jobs, Status, UnfinishedJob
from service.worker.lost_attempts import LostAttempts

_PREPARE, _TRAIN = "prepare_job", "train"
_TASKS = {Status.VALIDATING: _PREPARE}
# The states of its task in which a job needs no repair.
_WAITS = {
    Status.VALIDATING: {EntryState.WAITING},
    Status.QUEUED: {EntryState.WAITING, EntryState.ABSENT},  # the dispatcher enqueues it
    Status.PAUSED: set(EntryState),
}


class JobRepairs:
    """Continues jobs whose worker died. The dispatcher enqueues trainings."""

    def __init__(self, jobs: Jobs, lost_attempts: LostAttempts, most_lost: int) -> None:
        self._jobs = jobs
        self._lost_attempts = lost_attempts
        self._most_lost = most_lost

    async def to_repair(self, unfinished: list[UnfinishedJob]) -> list[tuple[str, str]]:
        """Return the (project, job) IDs of the active jobs that `repair` may change.

        Those are all but the jobs that wait for a worker, or for a user.
        """
        tasks = [queue.task_id(_TASKS.get(j.status, _TRAIN), j.id, j.attempt) for j in unfinished]
        states = await queue.states(self._jobs.redis, tasks)
        waiting = {
            (job.project_id, job.id)
            for job, state in zip(unfinished, states, strict=True)
            if state in _WAITS.get(job.status, ())
        }
        return [pair for pair in await self._jobs.active() if pair not in waiting]

    async def repair(self, project_id: str, job_id: str) -> None:
        """Repair a job. Raises AttemptSuperseded and Missing if it progressed on its own."""
        job = await self._jobs.get(project_id, job_id)
        if job is None or job.status in FINAL:
            await reply(self._jobs.redis.srem(ACTIVE, f"{project_id}/{job_id}"))
        elif job.status is Status.VALIDATING:
            await self._preparing(job)
        elif job.status is Status.QUEUED:
            await self._queued(job)
        elif job.status is Status.RUNNING:
            await self._running(job)

    async def _preparing(self, job: JobRecord) -> None:
        if await self._lost_attempts.taken_and_lost(queue.CPU, _PREPARE, job.id, job.attempt):
            job = await lose_preparation(self._jobs, job, self._most_lost)
            if job.status is Status.FAILED:
                return
        await queue.enqueue(
            self._jobs.redis, queue.CPU, _PREPARE, job.project_id, job.id, job.attempt
        )

    async def _queued(self, job: JobRecord) -> None:
        if await self._lost_attempts.taken_and_lost(queue.GPU, _TRAIN, job.id, job.attempt):
            # A worker took it and died before it wrote "running".
            await self._jobs.change(
                job.project_id, job.id, lambda j: lifecycle.requeue(j, job.attempt)
            )

    async def _running(self, job: JobRecord) -> None:
        if await self._lost_attempts.lost(queue.GPU, _TRAIN, job.id, job.attempt):
            metrics.JOB_ATTEMPTS_LOST.cell("worker_died").inc()
            await lose(self._jobs, job, self._most_lost)


def observe(unfinished: list[UnfinishedJob], now_s: int) -> None:
    """Set the gauges for jobs that are not in a final state."""
    for status in Status:
        if status not in FINAL:
            number = sum(job.status is status for job in unfinished)
            metrics.JOBS_UNFINISHED.cell(status).set(number)
    waits = (now_s - (j.queued_at or now_s) for j in unfinished if j.status is Status.QUEUED)
    metrics.OLDEST_QUEUED_JOB_SECONDS.cell().set(max(waits, default=0))
