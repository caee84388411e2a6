"""Sweeps: jobs that differ in some hyperparameters, of which only the best train to the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from finetuned._flows.common import Deadline, at, listed, wait_until
from finetuned._flows.files import once
from finetuned._http import Request, body_of
from finetuned._steps import Flow, Items, fetch
from finetuned.types import Method, MixedFile, MlflowIntegration, SweepObject, SweepValues

OnChange: TypeAlias = Callable[[SweepObject], object]
_SWEEPS = "fine_tuning/sweeps"
_UNFINISHED = ("running", "cancelling")


def create(
    *,
    model: str,
    training_file: str,
    values: SweepValues | Mapping[str, Any],
    validation_file: str | None = None,
    mixed_files: Sequence[MixedFile | Mapping[str, Any]] | None = None,
    method: Method | Mapping[str, Any] | None = None,
    stop_losers: bool | None = None,
    suffix: str | None = None,
    seed: int | None = None,
    priority: int | None = None,
    metadata: Mapping[str, str] | None = None,
    gate: Mapping[str, str] | None = None,
    baseline_prompt: str | None = None,
    integrations: Sequence[MlflowIntegration | Mapping[str, Any]] | None = None,
    idempotency_key: str | None = None,
) -> Flow[SweepObject]:
    """Create a sweep: a job for each combination of `values`. `wait` then waits for its end.

    `values={"learning_rate": [2e-4, 1e-3], "lora": {"r": [8, 16]}}` makes four trials. They are
    compared by their loss on held-out rows, so there must be a validation file, or a
    `validation_share` in the hyperparameters. All else is as for a job.
    """
    body = body_of(
        model=model,
        training_file=training_file,
        values=values,
        validation_file=validation_file,
        mixed_files=mixed_files,
        method=method,
        stop_losers=stop_losers,
        suffix=suffix,
        seed=seed,
        priority=priority,
        metadata=metadata,
        gate=gate,
        baseline_prompt=baseline_prompt,
        integrations=integrations,
    )
    return fetch(SweepObject, Request("POST", _SWEEPS, json=body, headers=once(idempotency_key)))


def list_sweeps(*, limit: int | None = None, after: str | None = None) -> Items[SweepObject]:
    """List the project's sweeps, newest first."""
    return listed(SweepObject, _SWEEPS, limit=limit, after=after)


def retrieve(sweep_id: str) -> Flow[SweepObject]:
    """Retrieve a sweep: its trials with their losses and, once it has ended, the best one."""
    return fetch(SweepObject, Request("GET", at("fine_tuning", "sweeps", sweep_id)))


def wait(
    sweep_id: str, *, on_change: OnChange | None = None, timeout_s: float | None = None
) -> Flow[SweepObject]:
    """Wait until a sweep has ended. Check `status`, `best_job` and `fine_tuned_model`.

    `on_change` is called with the sweep when a trial's status or loss changes.
    """
    return wait_until(
        lambda found: found.status not in _UNFINISHED,
        lambda: retrieve(sweep_id),
        Deadline(timeout_s, f"The sweep {sweep_id}"),
        on_change=on_change,
        watched=lambda found: found.trials,
    )


def cancel(sweep_id: str) -> Flow[SweepObject]:
    """Cancel a sweep and its jobs. Raises Conflict if it has succeeded or failed."""
    return fetch(SweepObject, Request("POST", at("fine_tuning", "sweeps", sweep_id, "cancel")))
