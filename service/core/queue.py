"""The arq queues, and the format of task IDs.

A task ID consists of the function, the object and the attempt: `train:ftjob-x:2`. arq rejects a
second entry with a known ID, so enqueueing is idempotent. A new attempt has a new ID, so the
in-progress mark of a killed worker cannot block it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import arq.worker
from arq.constants import in_progress_key_prefix, job_key_prefix

from service.core.redis import Client

CPU = "finetuned:queue:cpu"
GPU = "finetuned:queue:gpu"
# Evaluation runs, which the cpu workers take. They wait for engines most of the time, for hours,
# and would keep short tasks such as file checks from the slots of the cpu queue.
EVALS = "finetuned:queue:evals"
QUEUES = {"cpu": CPU, "gpu": GPU, "evals": EVALS}
WORKERS_OF = {"cpu": "cpu", "gpu": "gpu", "evals": "cpu"}
"""The kind of workers that take tasks from each queue."""

# Far longer than any training: arq's own timeout is final and ignores checkpoints, so the lease
# decides when a task is lost.
TASK_TIMEOUT_S = 90 * 24 * 3600

# A running task keeps its entry, near the head of the queue. Only this many entries are read.
_HEAD_ENTRIES = 200


class Retry(arq.worker.Retry):
    """Raised by a task to run again after `defer` seconds."""


class EntryState(StrEnum):
    """State of a task in arq."""

    WAITING = "waiting"
    TAKEN = "taken"
    ABSENT = "absent"


class Waiting(NamedTuple):
    """The tasks of a queue that no worker has taken."""

    tasks: int
    oldest_due_s: float | None
    """Time at which the oldest task was due, in seconds since the epoch; None if none waits."""


def task_id(function: str, subject_id: str, attempt: int) -> str:
    """Return arq's job ID for one attempt of a task on an object."""
    return f"{function}:{subject_id}:{attempt}"


async def enqueue(
    redis: Client,
    queue: str,
    function: str,
    project_id: str,
    subject_id: str,
    attempt: int,
    *,
    delay_s: float = 0,
) -> bool:
    """Add a task to a queue. Returns False if this attempt already exists."""
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


async def forget(redis: Client, queue: str, function: str, subject_id: str, attempt: int) -> None:
    """Remove an abandoned attempt, whose entry and mark remain if its worker was killed."""
    name = task_id(function, subject_id, attempt)
    async with redis.pipeline(transaction=True) as pipe:
        pipe.zrem(queue, name)
        pipe.delete(job_key_prefix + name, in_progress_key_prefix + name)
        await pipe.execute()


async def state(redis: Client, function: str, subject_id: str, attempt: int) -> EntryState:
    """Return whether the attempt waits, was taken by a worker, or is unknown to arq."""
    name = task_id(function, subject_id, attempt)
    async with redis.pipeline(transaction=True) as pipe:
        pipe.exists(job_key_prefix + name)
        pipe.exists(in_progress_key_prefix + name)
        known, taken = await pipe.execute()
    if taken:
        return EntryState.TAKEN
    return EntryState.WAITING if known else EntryState.ABSENT


async def waiting(redis: Client, queue: str) -> Waiting:
    """Count the tasks of a queue that no worker has taken."""
    entries = await redis.zcard(queue)
    head = await redis.zrange(queue, 0, _HEAD_ENTRIES - 1, withscores=True)
    marks = [in_progress_key_prefix + task.decode() for task, _ in head]
    taken = await redis.mget(marks) if marks else []
    # An entry's score is the time in milliseconds at which the task is due.
    due_ms = [due for (_, due), mark in zip(head, taken, strict=True) if mark is None]
    return Waiting(entries - (len(head) - len(due_ms)), min(due_ms) / 1000 if due_ms else None)
