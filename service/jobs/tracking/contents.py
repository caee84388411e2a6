"""What an MLflow run has of a job: numbers, hyperparameters, names, IDs and the outcome.

No training text, file name, sample output or error message is sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from service.jobs.records import EventRecord, JobRecord, Status
from service.jobs.tracking.records import MlflowRun

JOB_TAG = "finetuned.job_id"
_MAX_VALUE = 500  # characters; older servers reject longer values of parameters
_NOT_METRICS = frozenset({"step", "total_steps"})
_OUTCOMES = {Status.SUCCEEDED: "FINISHED", Status.FAILED: "FAILED", Status.CANCELLED: "KILLED"}


def tags_of(job: JobRecord, run: MlflowRun) -> list[dict[str, str]]:
    """Return the tags of a new run: the user's, and those that lead back to the job."""
    return _pairs(
        {
            **run.tags,
            "mlflow.source.name": "finetuned",
            "mlflow.source.type": "JOB",
            "mlflow.user": job.project_name,
            JOB_TAG: job.id,
            "finetuned.base_model": job.model,
        }
    )


def parameters_of(job: JobRecord) -> list[dict[str, str]]:
    """Return the job's hyperparameters, seed, and the IDs of its files, as parameters."""
    chosen = job.hyperparameters.model_dump(mode="json", exclude_none=True)
    facts = {
        "base_model": job.model,
        "method": job.method,
        "seed": job.seed,
        "training_file": job.training_file,
        "validation_file": job.validation_file,
    }
    for place, mixed in enumerate(job.mixed_files):
        facts |= {f"mixed_files.{place}.{name}": value for name, value in mixed}
    given = {name: value for name, value in facts.items() if value is not None}
    return _pairs(dict(_flat({**given, **chosen})))


def metrics_of(events: Iterable[EventRecord]) -> list[dict[str, Any]]:
    """Return the numbers in the metrics events, as MLflow's metrics."""
    return [
        {"key": name, "value": value, "timestamp": event.created_at * 1000, "step": step}
        for event in events
        if event.type == "metrics" and isinstance(step := event.data.get("step"), int)
        for name, value in event.data.items()
        if name not in _NOT_METRICS and _is_number(value)
    ]


def outcome_of(job: JobRecord) -> dict[str, Any]:
    """Return the final status and time of a job that has ended, as an update of its run."""
    return {"status": _OUTCOMES[job.status], "end_time": (job.finished_at or 0) * 1000}


def final_tags_of(job: JobRecord) -> list[dict[str, str]]:
    """Return the tags that are known when the job has ended."""
    tags = {"finetuned.fine_tuned_model": job.fine_tuned_model} if job.fine_tuned_model else {}
    if job.error is not None:
        tags["finetuned.error_code"] = job.error.code
    return _pairs(tags)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _pairs(values: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"key": name, "value": _text(value)} for name, value in values.items()]


def _text(value: Any) -> str:
    listed = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return listed[:_MAX_VALUE]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
