"""The job state machine: pure functions from one job record to the next.

    validating_files → queued → running → succeeded | failed | cancelled
                          ▲        │
                          └ paused ┘        (pause from queued or running; resume → queued)

After a pause request, a running job stays `running` with `pausing` set until its worker has
stored a checkpoint and released the job. When an attempt is lost, the job returns to `queued` with
the next attempt number. A final status is written only once.

What an attempt writes is fenced: `own` is the record as the attempt knows it, and a function raises
AttemptSuperseded if the job is at another attempt by now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.jobs.records import JobFailure, JobRecord, MemorySettings, Status
from service.training.contract.hyperparameters import REQUESTED, Resolved
from service.work.records import AttemptSuperseded

_UNPLANNED = MemorySettings()


class NotAllowed(Exception):
    """The job's status does not allow the action."""

    def __init__(self, job: JobRecord, action: str) -> None:
        self.state = "pausing" if job.pausing else job.status.value
        self.action = action
        super().__init__(f"a job that is {self.state} cannot {action}")


def prepare(
    job: JobRecord,
    chosen: Resolved,
    now_s: int,
    *,
    memory: MemorySettings = _UNPLANNED,
    longest_row: int | None = None,
) -> JobRecord:
    """Queue a job whose files are valid. Raises AttemptSuperseded unless it is validating files."""
    if job.status is not Status.VALIDATING:
        raise AttemptSuperseded(job.id)
    return job.model_copy(
        update={
            "status": Status.QUEUED,
            "hyperparameters": REQUESTED[job.method].model_validate(chosen.model_dump()),
            "queued_at": now_s,
            "fruitless_attempts": 0,
            **memory._asdict(),
            "longest_row": longest_row,
        }
    )


def lose_preparation(job: JobRecord, own: JobRecord, most_lost: int, now_s: int) -> JobRecord:
    """Start the next attempt at validating the files, after the worker that did so died.

    The job fails after `most_lost` such attempts.
    """
    _require_status(job, own, Status.VALIDATING)
    lost = job.fruitless_attempts + 1
    if lost >= most_lost:
        message = (
            f"The worker died {lost} times while it prepared the job. The worker's log has the "
            "cause; it may need more memory."
        )
        failure = JobFailure(code="preparation_interrupted", message=message)
        return fail(job, own, failure, now_s)
    return job.model_copy(update={"attempt": job.attempt + 1, "fruitless_attempts": lost})


def await_model(job: JobRecord, own: JobRecord) -> JobRecord:
    """Note that the files of the base model are not complete."""
    _require_status(job, own, Status.VALIDATING)
    return job.model_copy(update={"awaits_model": True})


def requeue(job: JobRecord, own: JobRecord) -> JobRecord:
    """Requeue a job whose worker took the queue entry but died before starting the attempt."""
    return _queue_next(_require_status(job, own, Status.QUEUED))


def start(job: JobRecord, attempt: int, now_s: int) -> JobRecord:
    """Mark the job as running when a worker takes the attempt."""
    if job.attempt != attempt or job.status not in (Status.QUEUED, Status.RUNNING):
        raise AttemptSuperseded(job.id)
    return job.model_copy(update={"status": Status.RUNNING, "started_at": job.started_at or now_s})


def set_memory(job: JobRecord, memory: MemorySettings) -> JobRecord:
    """Set the memory settings for the worker that takes the job."""
    return job.model_copy(update={**memory._asdict(), "awaits_memory": False})


def await_memory(job: JobRecord) -> JobRecord:
    """Note that no online worker has enough memory. Raises AttemptSuperseded if that is known."""
    if job.status is not Status.QUEUED or job.awaits_memory:
        raise AttemptSuperseded(job.id)
    return job.model_copy(update={"awaits_memory": True})


def require_running(job: JobRecord, own: JobRecord) -> JobRecord:
    """Return the record if this attempt may write to it. Raises AttemptSuperseded otherwise."""
    return _require_status(job, own, Status.RUNNING)


def _require_status(job: JobRecord, own: JobRecord, status: Status) -> JobRecord:
    if job.status is not status or not job.is_attempt_of(own):
        raise AttemptSuperseded(job.id)
    return job


def cancel(job: JobRecord, now_s: int) -> JobRecord:
    """Cancel the job. Raises NotAllowed if it has ended."""
    if job.is_final:
        raise NotAllowed(job, "be cancelled")
    return _end(job, Status.CANCELLED, now_s)


def pause(job: JobRecord) -> JobRecord:
    """Pause a queued job now, or a running job once its worker releases it.

    Raises NotAllowed if the job is already pausing or is neither queued nor running.
    """
    if job.status is Status.RUNNING and not job.pausing:
        return job.model_copy(update={"pausing": True})
    if job.status is not Status.QUEUED:
        raise NotAllowed(job, "be paused")
    return _pause(job)


def resume(job: JobRecord, now_s: int) -> JobRecord:
    """Put a paused job at the end of the queue with a new attempt number.

    Raises NotAllowed if the job is neither paused nor pausing.

    A job that is still pausing continues: its worker keeps it or, if the trainer has already been
    told to stop, returns it to the queue with its checkpoint.
    """
    if job.pausing:
        return job.model_copy(update={"pausing": False})
    if job.status is not Status.PAUSED:
        raise NotAllowed(job, "be resumed")
    return _queue_next(job).model_copy(update={"queued_at": now_s})


def hand_back(job: JobRecord, own: JobRecord) -> JobRecord:
    """Release an attempt that its worker stopped on purpose, with a checkpoint."""
    return _release(require_running(job, own))


def lose(job: JobRecord, own: JobRecord, most_lost: int, now_s: int) -> JobRecord:
    """Record a lost attempt and release the job.

    The job fails after `most_lost` attempts in a row that were lost before a new checkpoint.
    """
    require_running(job, own)
    lost = job.fruitless_attempts + 1
    if lost >= most_lost:
        message = (
            f"The training died {lost} times in a row before it reached a new checkpoint. The "
            "worker's log has the cause; try a smaller batch_size or max_seq_length if it ran out "
            "of memory."
        )
        failure = JobFailure(code="training_interrupted", message=message)
        return fail(job, own, failure, now_s)
    return _release(job).model_copy(update={"fruitless_attempts": lost})


def retry_smaller(job: JobRecord, own: JobRecord, smaller: MemorySettings) -> JobRecord:
    """Queue the next attempt with lower memory use, after this one ran out of memory.

    It processes fewer tokens at once, uses gradient checkpointing for all layers, keeps inputs of
    layers on the host, or shards the base model. What `smaller` does not set remains unchanged.
    """
    changed = {name: value for name, value in smaller._asdict().items() if value}
    return _release(require_running(job, own)).model_copy(
        update={**changed, "kept_layers": 0, "memory_retries": job.memory_retries + 1}
    )


def set_choices(job: JobRecord, own: JobRecord, choices: Mapping[str, Any]) -> JobRecord:
    """Record the hyperparameters that the trainer decided, which are among `choices`."""
    chosen = require_running(job, own).hyperparameters
    decided = {
        name: value
        for name, value in choices.items()
        if value is not None and name in type(chosen).model_fields
    }
    return job.model_copy(update={"hyperparameters": chosen.model_copy(update=decided)})


def record_progress(job: JobRecord, own: JobRecord) -> JobRecord:
    """Record a stored checkpoint: reset the count of lost attempts."""
    return require_running(job, own).model_copy(update={"fruitless_attempts": 0})


def fail(job: JobRecord, own: JobRecord, failure: JobFailure, now_s: int) -> JobRecord:
    """Fail the job."""
    if job.is_final or not job.is_attempt_of(own):
        raise AttemptSuperseded(job.id)
    return _end(job, Status.FAILED, now_s).model_copy(update={"error": failure})


def succeed(
    job: JobRecord,
    own: JobRecord,
    *,
    model: str,
    adapter: str | None = None,
    result_files: tuple[str, ...],
    trained_tokens: int,
    now_s: int,
) -> JobRecord:
    """Mark the job as succeeded with its registered model."""
    return _end(require_running(job, own), Status.SUCCEEDED, now_s).model_copy(
        update={
            "fine_tuned_model": model,
            "adapter": adapter,
            "result_files": result_files,
            "trained_tokens": trained_tokens,
        }
    )


def _end(job: JobRecord, status: Status, now_s: int) -> JobRecord:
    return job.model_copy(
        update={
            "status": status,
            "finished_at": now_s,
            "estimated_finish": None,
            "pausing": False,
        }
    )


def _release(job: JobRecord) -> JobRecord:
    """Pause a released job if the caller requested it; otherwise queue its next attempt."""
    return _pause(job) if job.pausing else _queue_next(job)


def _pause(job: JobRecord) -> JobRecord:
    return job.model_copy(
        update={"status": Status.PAUSED, "estimated_finish": None, "pausing": False}
    )


def _queue_next(job: JobRecord) -> JobRecord:
    """Queue the next attempt at the original queue time, so that a started job keeps its place."""
    return job.model_copy(
        update={
            "status": Status.QUEUED,
            "attempt": job.attempt + 1,
            "estimated_finish": None,
        }
    )
