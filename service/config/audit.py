"""The audit log."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from service.config.lists import CommaSeparated


class AuditSettings(BaseModel):
    """The audit log: what it has, how long, and who else sees its checkpoints."""

    audit_kept_days: int = Field(
        default=400,
        ge=0,
        description="How long entries stay in the audit log. 0: forever.",
    )
    audit_model_requests: Literal["count", "each"] = Field(
        default="count",
        description="Whether requests to models are counted by key and minute in the audit log, or "
        "each has an entry too, which is written before it goes to an engine.",
    )
    audit_seal_every_s: float = Field(
        default=300.0,
        gt=0,
        le=3600,
        description="How old entries of the audit log may get until they are sealed in storage. "
        "2,000 entries are sealed at once.",
    )
    audit_witness_url: str | None = Field(
        default=None,
        description="URL to which each checkpoint of the audit log is sent, with POST.",
    )
    audit_witness_command: CommaSeparated = Field(
        default=(),
        description="Command that gets each checkpoint of the audit log on its standard input, as "
        "its program and arguments, separated by commas.",
    )
