"""Webhook events and their JSON payload, in OpenAI's format."""

from __future__ import annotations

import json
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class EventType(StrEnum):
    """Event types that an endpoint can subscribe to."""

    SUCCEEDED = "fine_tuning.job.succeeded"
    FAILED = "fine_tuning.job.failed"
    CANCELLED = "fine_tuning.job.cancelled"
    EVAL_SUCCEEDED = "eval.run.succeeded"
    EVAL_FAILED = "eval.run.failed"
    EVAL_CANCELED = "eval.run.canceled"


class Event(BaseModel):
    """An event in a project. `type` is a string so that older versions can read new types."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    project_id: str
    created_at: int
    type: str
    subject_id: str

    def payload(self) -> str:
        """The request body as JSON. It contains ids, but no text from the job."""
        return json.dumps(
            {
                "id": self.id,
                "object": "event",
                "created_at": self.created_at,
                "type": self.type,
                "data": {"id": self.subject_id},
            },
            separators=(",", ":"),
        )
