"""Where records and bytes are: Redis, storage, and folders of this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

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
