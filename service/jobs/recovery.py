"""Recovers jobs: lost preparations and trainings, and preparations that are in no queue.

`lifecycle.py` decides when a job is given up. Each failed or lost attempt is recorded once, with an
event of the job.
"""

from __future__ import annotations

from typing import Any

from service.core import clock, metrics, queue
from service.core.queue import EntryState
from service.core.redis import reply
from service.jobs import lifecycle
from service.jobs.records import (
    ACTIVE,
    FINAL,
    JobFailure,
    JobRecord,
    Jobs,
    NewEvent,
    Status,
    UnfinishedJob,
)
from service.work.recovery import LostAttempts

_PREPARE, _TRAIN = "prepare_job", "train"
_TASKS = {Status.VALIDATING: _PREPARE}
# The states of its task in which a job needs no repair.
_WAITS = {
    Status.VALIDATING: {EntryState.WAITING},
    Status.QUEUED: {EntryState.WAITING, EntryState.ABSENT},  # the dispatcher enqueues it
    Status.PAUSED: set(EntryState),
}


class JobRecovery:
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
        if job is None or job.is_final:
            await reply(self._jobs.redis.srem(ACTIVE, f"{project_id}/{job_id}"))
        elif job.status is Status.VALIDATING:
            await self._repair_validating(job)
        elif job.status is Status.QUEUED:
            await self._repair_queued(job)
        elif job.status is Status.RUNNING:
            await self._repair_running(job)

    async def _repair_validating(self, job: JobRecord) -> None:
        if await self._lost_attempts.forget_if_taken_and_lost(
            queue.CPU, _PREPARE, job.id, job.attempt
        ):
            job = await lose_preparation(self._jobs, job, self._most_lost)
            if job.status is Status.FAILED:
                return
        await queue.enqueue(
            self._jobs.redis, queue.CPU, _PREPARE, job.project_id, job.id, job.attempt
        )

    async def _repair_queued(self, job: JobRecord) -> None:
        if await self._lost_attempts.forget_if_taken_and_lost(
            queue.GPU, _TRAIN, job.id, job.attempt
        ):
            # A worker took it and died before it wrote "running".
            await self._jobs.change(
                job.project_id, job.id, lambda current: lifecycle.requeue(current, job)
            )

    async def _repair_running(self, job: JobRecord) -> None:
        if await self._lost_attempts.forget_if_lost(queue.GPU, _TRAIN, job.id, job.attempt):
            metrics.JOB_ATTEMPTS_LOST.cell("worker_died").inc()
            await lose(self._jobs, job, self._most_lost)


async def fail(
    jobs: Jobs, own: JobRecord, failure: JobFailure, data: dict[str, Any] | None = None
) -> None:
    """Fail the job. `data` is added to its event. Raises AttemptSuperseded."""
    await jobs.change(
        own.project_id,
        own.id,
        lambda job: lifecycle.fail(job, own, failure, clock.now_s()),
        events=lambda _: [_failure_event(failure, data)],
    )


async def lose_preparation(jobs: Jobs, own: JobRecord, most_lost: int) -> JobRecord:
    """Record a lost attempt at preparing the job. The next one starts, or the job fails."""
    return await jobs.change(
        own.project_id,
        own.id,
        lambda job: lifecycle.lose_preparation(job, own, most_lost, clock.now_s()),
        events=lambda after: [_failure_event(after.error)] if after.error is not None else [],
    )


async def lose(jobs: Jobs, own: JobRecord, most_lost: int) -> JobRecord:
    """Record a lost attempt. The next one is queued, or the job is paused or fails."""

    def events(after: JobRecord) -> list[NewEvent]:
        if after.error is not None:
            return [_failure_event(after.error)]
        if after.status is Status.PAUSED:
            then = "the job is paused at the newest checkpoint"
        else:
            then = f"attempt {after.attempt} continues from the newest checkpoint"
        return [
            NewEvent(
                message=f"Attempt {own.attempt} was lost; {then}",
                level="warn",
                data={"code": "attempt_lost", "lost": own.attempt, "attempt": after.attempt},
            )
        ]

    return await jobs.change(
        own.project_id,
        own.id,
        lambda job: lifecycle.lose(job, own, most_lost, clock.now_s()),
        events=events,
    )


def observe(unfinished: list[UnfinishedJob], now_s: int) -> None:
    """Set the gauges for jobs that are not in a final state."""
    for status in Status:
        if status not in FINAL:
            number = sum(job.status is status for job in unfinished)
            metrics.JOBS_UNFINISHED.cell(status).set(number)
    waits = (now_s - (j.queued_at or now_s) for j in unfinished if j.status is Status.QUEUED)
    metrics.OLDEST_QUEUED_JOB_SECONDS.cell().set(max(waits, default=0))


def _failure_event(failure: JobFailure, data: dict[str, Any] | None = None) -> NewEvent:
    details = {"code": failure.code, **(data or {})}
    return NewEvent(message=failure.message, level="error", data=details)
