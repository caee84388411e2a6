"""The settings of all processes, composed of those of each area."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from service.config.fields import LogLevel
from service.config.http import HttpSettings, SignInSettings
from service.config.inference import EngineSettings, GatewaySettings
from service.config.limits import LimitSettings
from service.config.outbound import AuditSettings, OutsideSettings
from service.config.stores import SIGNING_KEY, EncryptionSettings, StoreSettings
from service.config.worker import TrainerSettings, WorkerSettings


class Settings(
    StoreSettings,
    EncryptionSettings,
    HttpSettings,
    SignInSettings,
    LimitSettings,
    AuditSettings,
    OutsideSettings,
    WorkerSettings,
    TrainerSettings,
    GatewaySettings,
    EngineSettings,
    BaseSettings,
):
    """Settings that an operator can set. Names include the unit; secrets are never printed."""

    model_config = SettingsConfigDict(env_prefix="FINETUNED_", extra="ignore")

    log_level: LogLevel = "INFO"

    @property
    def signing_key(self) -> Path:
        """File with the key that signs the audit log and erasure receipts."""
        return self.signing_key_file or self.data_dir / SIGNING_KEY
