"""Fine-tuning jobs: create, estimate, control, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetuned._flows.common import Deadline, at, listed
from finetuned._flows.files import once
from finetuned._http import Request, body_of
from finetuned._steps import Flow, Items, Sleep, fetch
from finetuned.types import (
    CheckpointObject,
    EstimateObject,
    EventObject,
    JobObject,
    Method,
)

FINAL = frozenset({"succeeded", "failed", "cancelled"})
_JOBS = "fine_tuning/jobs"
_POLL_S = 2.0


def create(
    *,
    model: str,
    training_file: str,
    validation_file: str | None = None,
    method: Method | Mapping[str, Any] | None = None,
    suffix: str | None = None,
    seed: int | None = None,
    priority: int | None = None,
    metadata: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Flow[JobObject]:
    """Create a job. It is sent again after a lost answer, and still made only once."""
    body = _body(
        model=model,
        training_file=training_file,
        validation_file=validation_file,
        method=method,
        suffix=suffix,
        seed=seed,
        priority=priority,
        metadata=metadata,
    )
    return fetch(JobObject, Request("POST", _JOBS, json=body, headers=once(idempotency_key)))


def estimate(
    *,
    model: str,
    training_file: str,
    validation_file: str | None = None,
    method: Method | Mapping[str, Any] | None = None,
    suffix: str | None = None,
    seed: int | None = None,
    priority: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Flow[EstimateObject]:
    """What the same `create` would take: steps, tokens, memory, whether it fits, how long."""
    body = _body(
        model=model,
        training_file=training_file,
        validation_file=validation_file,
        method=method,
        suffix=suffix,
        seed=seed,
        priority=priority,
        metadata=metadata,
    )
    return fetch(
        EstimateObject, Request("POST", "fine_tuning/estimate", json=body, repeatable=True)
    )


def _body(**fields: Any) -> dict[str, Any]:
    return body_of(**fields)


def list_jobs(
    *, metadata: Mapping[str, str] | None = None, limit: int | None = None
) -> Items[JobObject]:
    """The project's jobs, newest first; `metadata` selects those that have all of it."""
    wanted = {f"metadata[{key}]": value for key, value in (metadata or {}).items()}
    return listed(JobObject, _JOBS, limit=limit, params=wanted)


def retrieve(job_id: str) -> Flow[JobObject]:
    """One job as it is now."""
    return fetch(JobObject, Request("GET", at(*_JOBS.split("/"), job_id)))


def cancel(job_id: str) -> Flow[JobObject]:
    """End a job for good; its trainer stops within seconds."""
    return fetch(JobObject, Request("POST", at(*_JOBS.split("/"), job_id, "cancel")))


def pause(job_id: str) -> Flow[JobObject]:
    """Stop a job and keep its progress; it is `paused` when its checkpoint is stored."""
    return fetch(JobObject, Request("POST", at(*_JOBS.split("/"), job_id, "pause")))


def resume(job_id: str) -> Flow[JobObject]:
    """Queue a paused job again, from its newest checkpoint; one that still pauses goes on."""
    return fetch(JobObject, Request("POST", at(*_JOBS.split("/"), job_id, "resume")))


def events(job_id: str, *, limit: int | None = None) -> Items[EventObject]:
    """What a job has told, newest first. `watch` tells it oldest first, and live."""
    return listed(EventObject, at(*_JOBS.split("/"), job_id, "events"), limit=limit)


def checkpoints(job_id: str, *, limit: int | None = None) -> Items[CheckpointObject]:
    """Models saved on the way, newest first; each can be chatted with by its name."""
    return listed(CheckpointObject, at(*_JOBS.split("/"), job_id, "checkpoints"), limit=limit)


def wait(job_id: str, *, timeout_s: float | None = None) -> Flow[JobObject]:
    """The job once it has succeeded, failed or been cancelled: look at its `status`."""
    deadline = Deadline(timeout_s, f"The job {job_id}")
    while True:
        job = yield from retrieve(job_id)
        if job.status in FINAL:
            return job
        deadline.check()
        yield Sleep(_POLL_S)
