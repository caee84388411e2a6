"""Adds tasks to the arq queues, takes them, and counts them.

A task ID consists of the function, the object and the attempt: `train:ftjob-x:2`. arq rejects a
second entry with a known ID, so enqueueing is idempotent. A new attempt has a new ID, so the
in-progress mark of a killed worker cannot block it.

An entry's score is the time at which the task is due, in milliseconds on the clock of Redis.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import arq.worker
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.jobs import deserialize_job_raw, serialize_job

from service.core import ids
from service.core.redis import REDIS_ERRORS, Client, batched, from_json, reply, text, to_json, why

log = logging.getLogger(__name__)

CPU = "finetuned:queue:cpu"
GPU = "finetuned:queue:gpu"
# Evaluation runs, which cpu workers take. They wait for engines for hours, and would occupy the
# slots of short tasks such as file checks.
EVALS = "finetuned:queue:evals"
# Batches, which cpu workers take. They may run for a day, and would delay evaluations.
BATCHES = "finetuned:queue:batches"
QUEUES = {"cpu": CPU, "gpu": GPU, "evals": EVALS, "batches": BATCHES}
WORKERS_OF = {"cpu": "cpu", "gpu": "gpu", "evals": "cpu", "batches": "cpu"}
"""The kind of workers that take tasks from each queue."""

# Far longer than any training: arq's own timeout is final and ignores checkpoints, so the lease
# decides when a task is lost.
TASK_TIMEOUT_S = 90 * 24 * 3600

_ENTRY_LIFETIME_MS = 90 * 24 * 3600 * 1000  # queues can be long; arq's default is a day

# Adds a task unless it is known.
#   KEYS[1]  arq's job; KEYS[2] the queue
#   ARGV     the task's ID, the job, its lifetime and the delay in milliseconds
_ENQUEUE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local now = redis.call('TIME')
local due_ms = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[4]
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], due_ms, ARGV[1])
return 1
"""

# Returns the tasks that are due and that no worker has taken, oldest first.
#   KEYS[1]  the queue
#   ARGV     the number of tasks wanted, the prefix of the marks of taken tasks, the most to look at
_DUE = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local most, looked_at, found = tonumber(ARGV[1]), 0, {}
while looked_at < tonumber(ARGV[3]) do
  local page = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms, 'LIMIT', looked_at, 100)
  if #page == 0 then break end
  looked_at = looked_at + #page
  for _, task in ipairs(page) do
    if redis.call('EXISTS', ARGV[2] .. task) == 0 then found[#found + 1] = task end
    if #found == most then return found end
  end
end
return found
"""

# Takes a task unless another worker has it or it is not due. Returns its score and the time.
#   KEYS[1]  the mark of the taken task; KEYS[2] the queue
#   ARGV     the task, the value of the mark, its lifetime in milliseconds
_TAKE = """
local held = redis.call('GET', KEYS[1])
if held ~= false and held ~= ARGV[2] then return nil end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
if score == false or tonumber(score) > now_ms then return nil end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {tonumber(score), now_ms}
"""
_MAX_SCANNED = 10_000

# A running task keeps its entry, near the head of the queue. Only this many entries are read.
_HEAD_ENTRIES = 200
_STATES_AT_ONCE = 500


class Retry(arq.worker.Retry):
    """Raised by a task to run again after `defer` seconds."""


class EntryState(StrEnum):
    """State of a task in arq."""

    WAITING = "waiting"
    TAKEN = "taken"
    ABSENT = "absent"


class TaskId(NamedTuple):
    """The parts of a task's ID."""

    function: str
    subject_id: str
    attempt: int


class Waiting(NamedTuple):
    """The tasks of a queue that no worker has taken."""

    tasks: int
    oldest_due_s: float | None
    """Time at which the oldest task was due, in seconds since the epoch; None if none waits."""


def task_id(function: str, subject_id: str, attempt: int) -> str:
    """Return arq's job ID for one attempt of a task on an object."""
    return f"{function}:{subject_id}:{attempt}"


def parse_task_id(task_id: str) -> TaskId:
    """Return the parts of a task's ID. A subject may contain colons."""
    function, _, rest = task_id.partition(":")
    subject_id, _, attempt = rest.rpartition(":")
    return TaskId(function, subject_id, int(attempt))


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
    name, delay_ms = task_id(function, subject_id, attempt), int(delay_s * 1000)
    job = serialize_job(
        function,
        (project_id, subject_id, attempt),
        {},
        None,
        int(time.time() * 1000),  # only for the worker's log
        serializer=to_json,
    )
    arguments = (name, text(job), str(_ENTRY_LIFETIME_MS + delay_ms), str(delay_ms))
    keys = (job_key_prefix + name, queue)
    return bool(await reply(redis.eval(_ENQUEUE, 2, *keys, *arguments)))


@contextlib.contextmanager
def left_to_the_reconciler() -> Iterator[None]:
    """Suppress Redis errors of a step that follows a stored change. The reconciler repeats it.

    The change is stored, so a client must not send the request again.
    """
    try:
        yield
    except REDIS_ERRORS as e:
        log.warning("Redis became unavailable after a change, which waits for a worker: %s", why(e))


async def due(redis: Client, queue: str, most: int) -> list[str]:
    """Return up to `most` tasks that are due and that no worker has taken, oldest first."""
    arguments = (str(most), in_progress_key_prefix, str(_MAX_SCANNED))
    return [text(task) for task in await reply(redis.eval(_DUE, 1, queue, *arguments))]


class Taken(NamedTuple):
    """A task that a worker has just taken: when it was due and the time, in milliseconds."""

    due_ms: int
    now_ms: int


async def take(redis: Client, queue: str, task: str, lifetime_s: float) -> Taken | None:
    """Mark a task as taken, for at most this time. Returns None if it cannot be taken."""
    keys = (in_progress_key_prefix + task, queue)
    # The random value distinguishes our own mark, if the answer was lost, from another worker's.
    arguments = (task, ids.random_part(), str(int(lifetime_s * 1000)))
    taken = await reply(redis.eval(_TAKE, 2, *keys, *arguments))
    return None if taken is None else Taken(*map(int, taken))


async def arguments(redis: Client, task: str) -> tuple[Any, ...] | None:
    """Return the arguments of a task: project, object and attempt. None if it is gone."""
    job = await redis.get(job_key_prefix + task)
    if job is None:
        return None
    _, found, *_ = deserialize_job_raw(job, deserializer=from_json)
    return found


async def forget(redis: Client, queue: str, function: str, subject_id: str, attempt: int) -> None:
    """Remove an abandoned attempt, whose entry and mark remain if its worker was killed."""
    name = task_id(function, subject_id, attempt)
    async with redis.pipeline(transaction=True) as pipe:
        pipe.zrem(queue, name)
        pipe.delete(job_key_prefix + name, in_progress_key_prefix + name)
        await pipe.execute()


async def state(redis: Client, function: str, subject_id: str, attempt: int) -> EntryState:
    """Return whether the attempt waits, was taken by a worker, or is unknown to arq."""
    (found,) = await states(redis, [task_id(function, subject_id, attempt)])
    return found


async def states(redis: Client, tasks: Sequence[str]) -> list[EntryState]:
    """Return the states of the tasks with these IDs, in the order of the IDs."""
    found: list[EntryState] = []
    for batch in batched(tasks, _STATES_AT_ONCE):
        marks = [in_progress_key_prefix + task for task in batch]
        entries = [job_key_prefix + task for task in batch]
        values = await redis.mget(marks + entries)
        pairs = zip(values[: len(batch)], values[len(batch) :], strict=True)
        found += [_state(mark, entry) for mark, entry in pairs]
    return found


def _state(mark: bytes | None, entry: bytes | None) -> EntryState:
    if mark is not None:
        return EntryState.TAKEN
    return EntryState.ABSENT if entry is None else EntryState.WAITING


async def waiting(redis: Client, queue: str) -> Waiting:
    """Count the tasks of a queue that no worker has taken."""
    entries = await redis.zcard(queue)
    head = await _head(redis, queue)
    # An entry's score is the time in milliseconds at which the task is due.
    due_ms = [due for _, due, is_taken in head if not is_taken]
    return Waiting(entries - (len(head) - len(due_ms)), min(due_ms) / 1000 if due_ms else None)


async def taken(redis: Client, queue: str) -> list[TaskId]:
    """Return the tasks near the head of the queue that a worker has taken."""
    names = (name for name, _, is_taken in await _head(redis, queue) if is_taken)
    return [parse_task_id(name) for name in names]


async def _head(redis: Client, queue: str) -> list[tuple[str, float, bool]]:
    """Return the first entries of a queue: name, score, and whether a worker has taken it."""
    head = await redis.zrange(queue, 0, _HEAD_ENTRIES - 1, withscores=True)
    marks = [in_progress_key_prefix + task.decode() for task, _ in head]
    found = await redis.mget(marks) if marks else []
    return [
        (task.decode(), due, mark is not None)
        for (task, due), mark in zip(head, found, strict=True)
    ]
