"""Failed and lost attempts: each is recorded once, with an event of the job."""

from __future__ import annotations

from typing import Any

from service.core import ids
from service.jobs import lifecycle
from service.jobs.records import JobFailure, JobRecord, Jobs, NewEvent, Status


async def fail(
    jobs: Jobs,
    job: JobRecord,
    attempt: int | None,
    failure: JobFailure,
    data: dict[str, Any] | None = None,
) -> None:
    """Fail the job; `attempt` is None if no worker has it yet. Raises AttemptSuperseded."""
    event = _failed(failure, data)

    def own(current: JobRecord) -> JobRecord:
        return current if attempt is None else lifecycle.require_attempt(current, job)

    await jobs.change(
        job.project_id,
        job.id,
        lambda current: lifecycle.fail(own(current), attempt, failure, ids.now_s()),
        events=lambda _: [event],
    )


async def lose_preparation(jobs: Jobs, job: JobRecord, most_lost: int) -> JobRecord:
    """Record a lost attempt at preparing the job. The next one starts, or the job fails."""
    return await jobs.change(
        job.project_id,
        job.id,
        lambda current: lifecycle.lose_preparation(
            lifecycle.require_attempt(current, job), job.attempt, most_lost, ids.now_s()
        ),
        events=lambda after: [_failed(after.error)] if after.error is not None else [],
    )


async def lose(jobs: Jobs, job: JobRecord, most_lost: int) -> JobRecord:
    """Record a lost attempt. The next one is queued, or the job is paused or fails."""

    def events(after: JobRecord) -> list[NewEvent]:
        if after.error is not None:
            return [_failed(after.error)]
        if after.status is Status.PAUSED:
            then = "the job is paused at the newest checkpoint"
        else:
            then = f"attempt {after.attempt} continues from the newest checkpoint"
        return [
            NewEvent(
                message=f"Attempt {job.attempt} was lost; {then}",
                level="warn",
                data={"attempt": after.attempt},
            )
        ]

    return await jobs.change(
        job.project_id,
        job.id,
        lambda current: lifecycle.lose(
            lifecycle.require_attempt(current, job), job.attempt, most_lost, ids.now_s()
        ),
        events=events,
    )


def _failed(failure: JobFailure, data: dict[str, Any] | None = None) -> NewEvent:
    details = {"code": failure.code, **(data or {})}
    return NewEvent(message=failure.message, level="error", data=details)
