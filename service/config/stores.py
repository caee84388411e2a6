"""Settings of Redis, storage, local folders and encryption."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from service.core.encryption.master import (
    LocalMasterKey,
    MasterKey,
    MasterKeyError,
    VaultMasterKey,
)

_STORAGE_URL = re.compile(r"file:///.*|s3://[^/?#\s]+(?:/[^?#]*)?")
_HOST = r"(?:\[[^\]]+\]|[^\[\]/?#@:,]+)(?::\d+)?"
_REDIS_URL = re.compile(
    rf"unix://.+|rediss?(?:\+sentinel)?://(?:.*@)?{_HOST}(?:,{_HOST})*(?:[/?].*)?"
)


class StoreSettings(BaseModel):
    """Redis, storage, and folders of this machine."""

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_check: Literal["refuse", "warn"] = Field(
        default="refuse",
        description="Whether to refuse to start if the settings of Redis lose data, or only warn.",
    )
    redis_wait_replicas: int = Field(
        default=0,
        ge=0,
        le=16,
        description="Number of Redis replicas that must have a change before the API confirms it.",
    )
    redis_wait_aof: bool = Field(
        default=False,
        description="Whether Redis, and that many replicas, must sync a change to their disks "
        "before the API confirms it.",
    )
    storage_url: str = "file:///var/lib/finetuned/storage"
    storage_patience_s: float = Field(
        default=600.0, ge=0, description="How long a worker waits for unavailable storage."
    )
    storage_reserve_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Bytes that stay free on the disk of a storage folder: what would leave less "
        "is refused. By default, 1% of the disk, at most 1 GiB.",
    )
    data_dir: Path = Path("/var/lib/finetuned")
    models_file: Path = Path("/var/lib/finetuned/models.yaml")
    scratch_dir: Path | None = Field(
        default=None,
        description="Folder for a running job's files. Defaults to data_dir/scratch.",
    )
    adapter_cache_dir: Path | None = None

    @field_validator("storage_url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not _STORAGE_URL.fullmatch(value):
            raise ValueError("write it as file:///FOLDER or s3://BUCKET/PREFIX")
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_redis(cls, value: SecretStr) -> SecretStr:
        if not _REDIS_URL.fullmatch(value.get_secret_value()):
            raise ValueError("write it as redis://USER:PASSWORD@HOST:PORT/0")
        return value

    @property
    def scratch(self) -> Path:
        """Folder for the files of running jobs."""
        return self.scratch_dir or self.data_dir / "scratch"

    @property
    def adapter_cache(self) -> Path:
        """Folder where the vLLM resolver keeps downloaded adapters."""
        return self.adapter_cache_dir or self.data_dir / "adapter-cache"


SIGNING_KEY: Final = "signing-key.pem"
"""Name of the file in data_dir with the signing key, unless the operator names another."""


class EncryptionSettings(BaseModel):
    """The master key of encryption at rest, and the keys that sign."""

    encryption_key_file: Path | None = Field(
        default=None,
        description="File with the master key, under which objects in storage are encrypted.",
    )
    encryption_key: SecretStr | None = Field(
        default=None, description="The master key itself, instead of a file."
    )
    encryption_vault_address: str | None = Field(
        default=None,
        description="Address of a Vault whose transit engine has the master key, instead of a "
        "file.",
    )
    encryption_vault_key: str = "finetuned"
    encryption_vault_mount: str = "transit"
    encryption_vault_token_file: Path = Path("/vault/secrets/token")
    encryption_required: bool = Field(
        default=False,
        description="Whether objects that are not encrypted are refused. Set it once "
        "`finetuned-server encrypt` has encrypted all.",
    )
    signing_key_file: Path | None = Field(
        default=None,
        description="PEM file with an Ed25519 private key, which signs the audit log, erasure "
        "receipts and adapters. By default, the worker that seals the audit log makes "
        "`signing-key.pem` in data_dir, which does not sign adapters.",
    )
    adapter_key_file: Path | None = Field(
        default=None,
        description="PEM file with the public key. Engines then load only adapters that it signed.",
    )
    export_signing_key: Path | None = Field(
        default=None, description="File of the EC key that signs exports, in PEM format."
    )

    def master_key(self) -> MasterKey | None:
        """Return the key that encrypts objects, or None. Raises MasterKeyError."""
        given = {
            "FINETUNED_ENCRYPTION_KEY_FILE": self.encryption_key_file,
            "FINETUNED_ENCRYPTION_KEY": self.encryption_key,
            "FINETUNED_ENCRYPTION_VAULT_ADDRESS": self.encryption_vault_address,
        }
        named = [name for name, value in given.items() if value]
        if len(named) > 1:
            raise MasterKeyError(f"set only one of {', '.join(named)}")
        if self.encryption_vault_address:
            return VaultMasterKey(
                self.encryption_vault_address,
                self.encryption_vault_key,
                self.encryption_vault_token_file,
                self.encryption_vault_mount,
            )
        if self.encryption_key_file:
            return LocalMasterKey.from_file(self.encryption_key_file)
        if self.encryption_key:
            return LocalMasterKey.parse(
                self.encryption_key.get_secret_value(), "FINETUNED_ENCRYPTION_KEY"
            )
        return None
