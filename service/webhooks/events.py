"""Webhook events and their JSON payload, in OpenAI's format."""

from __future__ import annotations

import json
from enum import StrEnum

from service.core.outbox import Event


class EventType(StrEnum):
    """Event types that an endpoint can subscribe to."""

    SUCCEEDED = "fine_tuning.job.succeeded"
    FAILED = "fine_tuning.job.failed"
    CANCELLED = "fine_tuning.job.cancelled"
    SWEEP_SUCCEEDED = "fine_tuning.sweep.succeeded"
    SWEEP_FAILED = "fine_tuning.sweep.failed"
    SWEEP_CANCELLED = "fine_tuning.sweep.cancelled"
    EVAL_SUCCEEDED = "eval.run.succeeded"
    EVAL_FAILED = "eval.run.failed"
    EVAL_CANCELED = "eval.run.canceled"
    EXPORT_SUCCEEDED = "export.succeeded"
    EXPORT_FAILED = "export.failed"
    EXPORT_CANCELLED = "export.cancelled"
    BATCH_COMPLETED = "batch.completed"
    BATCH_FAILED = "batch.failed"
    BATCH_EXPIRED = "batch.expired"
    BATCH_CANCELLED = "batch.cancelled"
    GENERATION_COMPLETED = "dataset.generation.completed"
    GENERATION_FAILED = "dataset.generation.failed"
    GENERATION_CANCELLED = "dataset.generation.cancelled"


def payload(event: Event) -> str:
    """The request body of an event as JSON. It contains ids, but no text from the job."""
    return json.dumps(
        {
            "id": event.id,
            "object": "event",
            "created_at": event.created_at,
            "type": event.type,
            "data": {"id": event.subject_id},
        },
        separators=(",", ":"),
    )
