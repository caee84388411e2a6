"""Connections to other services: webhooks, and the tracking of experiments."""

from __future__ import annotations

import re

from pydantic import BaseModel, Field, SecretStr, field_validator

from service.config.hosts import HOST
from service.config.lists import CommaSeparated

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
