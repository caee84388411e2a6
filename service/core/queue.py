"""The two arq queues, and what a task's id says.

A task is named by what it does, on what, and in which attempt: `train:ftjob-x:2`. arq
refuses a second entry under a known id, so enqueueing is idempotent; a new attempt has a
new id, so the in-progress mark that a killed worker leaves behind can block nothing.
"""

from __future__ import annotations

from enum import StrEnum

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix

CPU = "finetuned:queue:cpu"
GPU = "finetuned:queue:gpu"
QUEUES = {"cpu": CPU, "gpu": GPU}

# Far beyond any training: arq's own time-out is final and knows no checkpoint, so the
# lease decides what is lost, not this.
TASK_TIMEOUT_S = 90 * 24 * 3600


class EntryState(StrEnum):
    """Where arq has a task."""

    WAITING = "waiting"
    TAKEN = "taken"
    ABSENT = "absent"


def task_id(function: str, subject_id: str, attempt: int) -> str:
    """arq's job id for one attempt of one task on one object."""
    return f"{function}:{subject_id}:{attempt}"


async def enqueue(
    redis: ArqRedis,
    queue: str,
    function: str,
    project_id: str,
    subject_id: str,
    attempt: int,
    *,
    delay_s: float = 0,
) -> bool:
    """Put a task into a queue; False where this attempt is there already."""
    job = await redis.enqueue_job(
        function,
        project_id,
        subject_id,
        attempt,
        _job_id=task_id(function, subject_id, attempt),
        _queue_name=queue,
        _defer_by=delay_s or None,
    )
    return job is not None


async def forget(redis: ArqRedis, queue: str, function: str, subject_id: str, attempt: int) -> None:
    """Remove an attempt that was given up: a killed worker leaves its entry and mark behind."""
    name = task_id(function, subject_id, attempt)
    async with redis.pipeline(transaction=True) as pipe:
        pipe.zrem(queue, name)
        pipe.delete(job_key_prefix + name, in_progress_key_prefix + name)
        await pipe.execute()


async def state(redis: ArqRedis, function: str, subject_id: str, attempt: int) -> EntryState:
    """Whether the attempt waits, was taken by a worker, or is unknown to arq."""
    name = task_id(function, subject_id, attempt)
    async with redis.pipeline(transaction=True) as pipe:
        pipe.exists(job_key_prefix + name)
        pipe.exists(in_progress_key_prefix + name)
        known, taken = await pipe.execute()
    if taken:
        return EntryState.TAKEN
    return EntryState.WAITING if known else EntryState.ABSENT
