"""Event of a fine-tuning job."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from service.jobs.records import EventRecord


class EventObject(BaseModel):
    """An event of a fine-tuning job."""

    id: str = Field(
        description="ID of the event, for use in `after` and `Last-Event-ID`. Starts with "
        "`ftevent-`."
    )
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int = Field(description="Creation time, in Unix seconds.")
    level: Literal["info", "warn", "error"] = Field(description="Severity of the event.")
    message: str = Field(description="Human-readable message.")
    type: Literal["message", "metrics"] = Field(
        description="Type of the event. In a `metrics` event, `data` has the metrics of a step."
    )
    data: dict[str, Any] = Field(description="Machine-readable details of the event.")

    @classmethod
    def of(cls, event: EventRecord) -> Self:
        """Build the API object from a record."""
        return cls.model_validate(event.model_dump())
