"""Fine-tuning jobs: creation, estimates, control, events and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finetuned._flows.common import Deadline, at, listed, wait_until, when_files_are_ready
from finetuned._flows.files import once
from finetuned._http import Request, body_of
from finetuned._steps import Flow, Items, fetch
from finetuned.types import (
    CheckpointObject,
    EstimateObject,
    EventObject,
    JobObject,
    Method,
    MixedFile,
    MlflowIntegration,
)

FINAL = frozenset({"succeeded", "failed", "cancelled"})
_JOBS = "fine_tuning/jobs"


def create(
    *,
    model: str,
    training_file: str,
    validation_file: str | None = None,
    mixed_files: Sequence[MixedFile | Mapping[str, Any]] | None = None,
    method: Method | Mapping[str, Any] | None = None,
    suffix: str | None = None,
    seed: int | None = None,
    priority: int | None = None,
    metadata: Mapping[str, str] | None = None,
    gate: Mapping[str, str] | None = None,
    baseline_prompt: str | None = None,
    integrations: Sequence[MlflowIntegration | Mapping[str, Any]] | None = None,
    idempotency_key: str | None = None,
) -> Flow[JobObject]:
    """Create a job. The request is retried if the response is lost, but creates only one job.

    `mixed_files=[{"file": "file-…", "weight": 0.25}]` mixes the rows of more files with those of
    `training_file`: here, a different quarter of them in each epoch.

    `gate={"chrf_gain": ">=5"}` are conditions that the job's evaluation must meet before an alias
    points at its model. `baseline_prompt` is a system prompt of yours that the evaluation compares
    the model with. `integrations=[{"type": "mlflow", "mlflow": {"experiment_name": "…"}}]`
    sends the job's metrics to an MLflow server that the operator allows.
    """
    body = body_of(
        model=model,
        training_file=training_file,
        validation_file=validation_file,
        mixed_files=mixed_files,
        method=method,
        suffix=suffix,
        seed=seed,
        priority=priority,
        metadata=metadata,
        gate=gate,
        baseline_prompt=baseline_prompt,
        integrations=integrations,
    )
    return fetch(JobObject, Request("POST", _JOBS, json=body, headers=once(idempotency_key)))


def estimate(
    *,
    model: str,
    training_file: str,
    validation_file: str | None = None,
    mixed_files: Sequence[MixedFile | Mapping[str, Any]] | None = None,
    method: Method | Mapping[str, Any] | None = None,
    suffix: str | None = None,
    seed: int | None = None,
    priority: int | None = None,
    metadata: Mapping[str, str] | None = None,
    gate: Mapping[str, str] | None = None,
    baseline_prompt: str | None = None,
    integrations: Sequence[MlflowIntegration | Mapping[str, Any]] | None = None,
    timeout_s: float | None = None,
) -> Flow[EstimateObject]:
    """Estimate what the same `create` would take: steps, tokens, memory, fit and duration.

    Waits until the files are checked and measured.
    """
    body = body_of(
        model=model,
        training_file=training_file,
        validation_file=validation_file,
        mixed_files=mixed_files,
        method=method,
        suffix=suffix,
        seed=seed,
        priority=priority,
        metadata=metadata,
        gate=gate,
        baseline_prompt=baseline_prompt,
        integrations=integrations,
    )
    request = Request("POST", "fine_tuning/estimate", json=body, repeatable=True)
    return when_files_are_ready(
        lambda: fetch(EstimateObject, request),
        Deadline(timeout_s, f"The measurement of {training_file}"),
    )


def list_jobs(
    *,
    metadata: Mapping[str, str] | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Items[JobObject]:
    """List the project's jobs, newest first. `metadata` keeps jobs that match every pair."""
    filters = {f"metadata[{key}]": value for key, value in (metadata or {}).items()}
    return listed(JobObject, _JOBS, limit=limit, after=after, params=filters)


def retrieve(job_id: str) -> Flow[JobObject]:
    """Retrieve the current state of a job."""
    return fetch(JobObject, Request("GET", at(*_JOBS.split("/"), job_id)))


def cancel(job_id: str) -> Flow[JobObject]:
    """Cancel a job permanently. Its trainer stops within seconds."""
    return fetch(JobObject, Request("POST", at(*_JOBS.split("/"), job_id, "cancel")))


def pause(job_id: str) -> Flow[JobObject]:
    """Pause a job and keep its progress. It is `paused` once its checkpoint is stored."""
    return fetch(JobObject, Request("POST", at(*_JOBS.split("/"), job_id, "pause")))


def resume(job_id: str) -> Flow[JobObject]:
    """Resume a paused job from its newest checkpoint. A job still pausing continues instead."""
    return fetch(JobObject, Request("POST", at(*_JOBS.split("/"), job_id, "resume")))


def events(
    job_id: str, *, limit: int | None = None, after: str | None = None
) -> Items[EventObject]:
    """List a job's events, newest first. `watch` yields them oldest first, and live."""
    return listed(EventObject, at(*_JOBS.split("/"), job_id, "events"), limit=limit, after=after)


def checkpoints(job_id: str, *, limit: int | None = None) -> Items[CheckpointObject]:
    """List a job's checkpoints, newest first. Each can be used for inference by name."""
    return listed(CheckpointObject, at(*_JOBS.split("/"), job_id, "checkpoints"), limit=limit)


def wait(job_id: str, *, timeout_s: float | None = None) -> Flow[JobObject]:
    """Wait until a job succeeds, fails or is canceled. Check `status` on the result."""
    return wait_until(
        lambda job: job.status in FINAL,
        lambda: retrieve(job_id),
        Deadline(timeout_s, f"The job {job_id}"),
    )
