"""How a job lives: pure functions from one record to the next.

    validating_files → queued → running → succeeded | failed | cancelled
                          ▲        │
                          └ paused ┘        (pause from queued or running; resume → queued)

A running job that is asked to pause stays `running` with `pausing` set until its worker has
stored a checkpoint and let go of it. A lost attempt goes back to queued under the next attempt
number. A final status is written once.
"""

from __future__ import annotations

from service.jobs.records import FINAL, Chosen, Failure, JobRecord, Status


class NotAllowed(Exception):
    """The job's status does not allow this."""

    def __init__(self, job: JobRecord, action: str) -> None:
        self.state = "pausing" if job.pausing else job.status.value
        self.action = action
        super().__init__(f"a job that is {self.state} cannot {action}")


class Superseded(Exception):
    """The attempt that writes is no longer the job's attempt, or the job is over."""


def prepare(
    job: JobRecord,
    chosen: Chosen,
    now_s: int,
    *,
    tokens_at_once: int | None = None,
    gradient_checkpointing: bool = False,
) -> JobRecord:
    """Files are in order: the job may be taken by a worker."""
    if job.status is not Status.VALIDATING:
        raise Superseded
    return job.model_copy(
        update={
            "status": Status.QUEUED,
            "hyperparameters": chosen,
            "queued_at": now_s,
            "tokens_at_once": tokens_at_once,
            "gradient_checkpointing": gradient_checkpointing,
        }
    )


def prepare_again(job: JobRecord) -> JobRecord:
    """The worker that checked the files died: the check starts anew."""
    if job.status is not Status.VALIDATING:
        raise Superseded
    return job.model_copy(update={"attempt": job.attempt + 1})


def requeue(job: JobRecord, attempt: int) -> JobRecord:
    """A worker took the entry and died before it said so."""
    if job.attempt != attempt or job.status is not Status.QUEUED:
        raise Superseded
    return _again(job)


def start(job: JobRecord, attempt: int, now_s: int) -> JobRecord:
    """A worker takes the attempt."""
    if job.attempt != attempt or job.status not in (Status.QUEUED, Status.RUNNING):
        raise Superseded
    return job.model_copy(update={"status": Status.RUNNING, "started_at": job.started_at or now_s})


def fenced(job: JobRecord, attempt: int) -> JobRecord:
    """The record, if this attempt may write to it."""
    if job.attempt != attempt or job.status is not Status.RUNNING:
        raise Superseded
    return job


def cancel(job: JobRecord, now_s: int) -> JobRecord:
    """The caller ends the job."""
    if job.status in FINAL:
        raise NotAllowed(job, "be cancelled")
    return _ended(job, Status.CANCELLED, now_s)


def pause(job: JobRecord) -> JobRecord:
    """The caller stops the job for a while; a running one is paused when its worker lets go."""
    if job.status is Status.RUNNING and not job.pausing:
        return job.model_copy(update={"pausing": True})
    if job.status is not Status.QUEUED:
        raise NotAllowed(job, "be paused")
    return _paused(job)


def resume(job: JobRecord, now_s: int) -> JobRecord:
    """A paused job goes back into the queue under a new attempt, at its end.

    One that is still pausing goes on: its worker keeps it, or has told the trainer to stop and
    hands it back with its checkpoint.
    """
    if job.pausing:
        return job.model_copy(update={"pausing": False})
    if job.status is not Status.PAUSED:
        raise NotAllowed(job, "be resumed")
    return _again(job).model_copy(update={"queued_at": now_s})


def hand_back(job: JobRecord, attempt: int) -> JobRecord:
    """A worker gives its attempt back with a checkpoint; nothing went wrong."""
    return _released(fenced(job, attempt))


def lose(job: JobRecord, attempt: int, most_fruitless: int, now_s: int) -> JobRecord:
    """An attempt died. The next one is queued, unless too many in a row made no progress."""
    fenced(job, attempt)
    fruitless = job.fruitless_attempts + 1
    if fruitless >= most_fruitless:
        return fail(
            job,
            attempt,
            Failure(
                code="training_interrupted",
                message=(
                    f"The training died {fruitless} times in a row before it reached a new "
                    "checkpoint. The worker's log has the cause; try a smaller batch_size or "
                    "max_seq_length if it ran out of memory."
                ),
            ),
            now_s,
        )
    return _released(job).model_copy(update={"fruitless_attempts": fruitless})


def retry_smaller(
    job: JobRecord, attempt: int, tokens_at_once: int | None, gradient_checkpointing: bool
) -> JobRecord:
    """The attempt ran out of memory; the next takes less at once, or keeps less of it."""
    return _released(fenced(job, attempt)).model_copy(
        update={
            "tokens_at_once": tokens_at_once or job.tokens_at_once,
            "gradient_checkpointing": gradient_checkpointing or job.gradient_checkpointing,
            "halved": True,
        }
    )


def packed(job: JobRecord, attempt: int, packing: bool) -> JobRecord:
    """The trainer has decided whether to pack."""
    chosen = fenced(job, attempt).hyperparameters.model_copy(update={"packing": packing})
    return job.model_copy(update={"hyperparameters": chosen})


def progressed(job: JobRecord, attempt: int) -> JobRecord:
    """A checkpoint is safe in storage."""
    return fenced(job, attempt).model_copy(update={"fruitless_attempts": 0})


def fail(job: JobRecord, attempt: int | None, failure: Failure, now_s: int) -> JobRecord:
    """The job cannot succeed. `attempt` is None where no worker has it yet."""
    if job.status in FINAL or (attempt is not None and job.attempt != attempt):
        raise Superseded
    return _ended(job, Status.FAILED, now_s).model_copy(update={"error": failure})


def succeed(
    job: JobRecord,
    attempt: int,
    *,
    model: str,
    result_files: tuple[str, ...],
    trained_tokens: int,
    now_s: int,
) -> JobRecord:
    """The model is registered."""
    return _ended(fenced(job, attempt), Status.SUCCEEDED, now_s).model_copy(
        update={
            "fine_tuned_model": model,
            "result_files": result_files,
            "trained_tokens": trained_tokens,
        }
    )


def _ended(job: JobRecord, status: Status, now_s: int) -> JobRecord:
    return job.model_copy(
        update={
            "status": status,
            "finished_at": now_s,
            "estimated_finish": None,
            "pausing": False,
        }
    )


def _released(job: JobRecord) -> JobRecord:
    """No worker has the job any more: it pauses if the caller asked for that, or goes on."""
    return _paused(job) if job.pausing else _again(job)


def _paused(job: JobRecord) -> JobRecord:
    return job.model_copy(
        update={"status": Status.PAUSED, "estimated_finish": None, "pausing": False}
    )


def _again(job: JobRecord) -> JobRecord:
    """Queued for another attempt, in its old place: what has begun goes on first."""
    return job.model_copy(
        update={
            "status": Status.QUEUED,
            "attempt": job.attempt + 1,
            "estimated_finish": None,
        }
    )
