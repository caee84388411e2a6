"""Webhook events, and their JSON on the wire as OpenAI defines it."""

from __future__ import annotations

import json
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class EventType(StrEnum):
    """The events that an endpoint can subscribe to."""

    SUCCEEDED = "fine_tuning.job.succeeded"
    FAILED = "fine_tuning.job.failed"
    CANCELLED = "fine_tuning.job.cancelled"


class Event(BaseModel):
    """One event of a project. `type` is a string so that an older version can read a newer one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    project_id: str
    created_at: int
    type: str
    subject_id: str

    def payload(self) -> str:
        """The body of a delivery. It holds ids and no text of the job."""
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
