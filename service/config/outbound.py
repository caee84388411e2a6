"""Settings of webhooks, experiment tracking and the audit log."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from service.config.fields import HOST, CommaSeparated

_HOST = re.compile(HOST)
_TRACKING_URI = re.compile(rf"https?://{HOST}(?:/[\w.~/-]*)?", re.ASCII)


class OutsideSettings(BaseModel):
    """Connections to other services: webhooks, and the tracking of experiments."""

    webhook_allowed_hosts: CommaSeparated = Field(
        default=(),
        description="Hosts that webhooks may call, separated by commas. HOST allows the default "
        "port of http and https, HOST:PORT one port. Empty: webhooks are turned off.",
    )
    webhook_timeout_s: float = Field(default=10.0, gt=0, le=60, description="For one attempt.")
    webhook_max_attempts: int = Field(default=8, ge=1, le=20)
    webhook_retry_base_s: float = Field(
        default=5.0, gt=0, description="Before the second attempt; each later delay is 8 times it."
    )

    mlflow_tracking_uris: CommaSeparated = Field(
        default=(),
        description="URLs of the MLflow servers that jobs may send metrics to, separated by "
        "commas. The first is the default. Empty: jobs cannot have integrations.",
    )
    mlflow_tracking_token: SecretStr | None = Field(
        default=None, description="Bearer token for these servers."
    )
    mlflow_tracking_username: str | None = Field(
        default=None, description="User name for these servers, if there is no token."
    )
    mlflow_tracking_password: SecretStr | None = None

    @field_validator("webhook_allowed_hosts")
    @classmethod
    def _bare_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(host.lower() for host in value)
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"webhook_allowed_hosts: write '{host}' as HOST or HOST:PORT")
        return hosts

    @field_validator("mlflow_tracking_uris")
    @classmethod
    def _bare_uris(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for uri in value:
            if not _TRACKING_URI.fullmatch(uri):
                raise ValueError(
                    "mlflow_tracking_uris: write each as https://HOST[:PORT][/PATH], in lower case "
                    "and without a user name"
                )
        return tuple(uri.rstrip("/") for uri in value)


class AuditSettings(BaseModel):
    """The audit log: its contents, its retention, and the witness of its checkpoints."""

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
