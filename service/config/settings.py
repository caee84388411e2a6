"""The settings of all processes, composed of those of each area."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from service.config.audit import AuditSettings
from service.config.encryption import SIGNING_KEY, EncryptionSettings
from service.config.engine import EngineSettings
from service.config.gateway import GatewaySettings
from service.config.http import HttpSettings
from service.config.limits import LimitSettings
from service.config.outside import OutsideSettings
from service.config.stores import StoreSettings
from service.config.tokens import TokenSettings
from service.config.trainer import TrainerSettings
from service.config.worker import WorkerSettings


class Settings(
    StoreSettings,
    EncryptionSettings,
    HttpSettings,
    TokenSettings,
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

    log_level: str = "INFO"

    @property
    def signing_key(self) -> Path:
        """File with the key that signs the audit log and erasure receipts."""
        return self.signing_key_file or self.data_dir / SIGNING_KEY
