"""Settings of every process, read from the environment (`FINETUNED_…`).

One class for all processes: the api, the worker and the inference launcher of one
installation must agree on Redis, storage and limits, so they read the same variables.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.core.limits import NO_LIMITS, Limits

MIB = 1024 * 1024
GIB = 1024 * MIB


_DEFAULT_RANK_LIMIT = 64
# A quarter of what an engine answers at one time (256), so that no project has it for itself.
_SAFE_LIMITS = Limits(concurrent_requests=64)
_HOST = re.compile(r"(?:[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]+")

Part = Literal["redis", "storage", "worker", "inference"]


class Settings(BaseSettings):
    """Everything an operator can set. Units stand in the names; secrets never print."""

    model_config = SettingsConfigDict(env_prefix="FINETUNED_", extra="ignore")

    # Where things are kept.
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    storage_url: str = "file:///var/lib/finetuned/storage"
    data_dir: Path = Path("/var/lib/finetuned")
    models_file: Path = Path("/var/lib/finetuned/models.yaml")
    scratch_dir: Path | None = Field(
        default=None,
        description="Where the worker keeps a running job's files; data_dir/scratch.",
    )

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    api_metrics_host: str = Field(
        default="127.0.0.1", description="Metrics name projects and take no key: keep them inside."
    )
    api_metrics_port: int = Field(default=9101, ge=0, le=65535)
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Of web pages that may use the api from a browser; ['*']: any."
    )

    # Limits on what comes in.
    max_file_bytes: int = Field(default=512 * MIB, gt=0)
    max_upload_bytes: int = Field(default=8 * GIB, gt=0, description="Of a file sent in parts.")
    max_upload_part_bytes: int = Field(default=64 * MIB, gt=0)
    max_json_body_bytes: int = Field(default=1 * MIB, gt=0)
    max_inference_body_bytes: int = Field(default=8 * MIB, gt=0)
    client_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="For a client to send a request's head, and its body; an upload may take "
        "longer while it keeps coming. Also to take each part of an answer of inference.",
    )
    max_pending_uploads_per_project: int = Field(default=100, ge=1)
    max_file_tasks_per_project: int = Field(
        default=50, ge=1, description="Reports and cleanings that wait or run."
    )
    max_aliases_per_project: int = Field(default=1000, ge=1)
    min_examples: int = Field(default=10, ge=1)
    max_queued_jobs_per_project: int = Field(
        default=100, ge=1, description="Jobs being checked count; over it, creation answers 429."
    )

    # Scheduling.
    max_running_jobs_per_project: int | None = Field(
        default=None, ge=1, description="A project at its limit waits, whatever is free."
    )

    # Webhooks.
    webhook_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts that webhooks may call, separated by commas. HOST allows the default "
        "port of http and https, HOST:PORT one port. Empty: webhooks are turned off.",
    )
    webhook_timeout_s: float = Field(default=10.0, gt=0, le=60, description="For one attempt.")
    webhook_max_attempts: int = Field(default=8, ge=1, le=20)
    webhook_retry_base_s: float = Field(
        default=5.0, gt=0, description="Before the second attempt; each later delay is 8 times it."
    )

    # Worker.
    worker_name: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    worker_port: int = Field(default=9100, ge=0, le=65535)
    worker_host: str = "127.0.0.1"
    lease_s: float = Field(default=30.0, gt=0, description="A job is lost when not renewed for it.")
    reconcile_every_s: float = Field(default=5.0, gt=0)
    max_attempts_without_progress: int = Field(default=3, ge=1)
    storage_patience_s: float = Field(
        default=600.0, ge=0, description="How long a worker waits for storage that is away."
    )
    tokens_at_once: int | None = Field(
        default=None,
        ge=64,
        description="Most that a trainer takes through the model in one part; what suits its "
        "device, if not set.",
    )
    trainer_gpus: int = Field(
        default=1, ge=1, le=64, description="GPUs of this worker that one training takes."
    )
    trainer_sharding: Literal["ddp", "fsdp"] = Field(
        default="ddp", description="fsdp divides a base model that one GPU cannot hold."
    )
    trainer_memory_bytes: int | None = Field(
        default=None, gt=0, description="Most that a trainer may take; its device's, if not set."
    )
    stop_grace_s: float = Field(
        default=60.0,
        gt=0,
        description="For a trainer to save a checkpoint when told to stop.",
    )
    cpu_tasks: int = Field(default=2, ge=1, description="Tasks of the cpu queue at one time.")
    curation_timeout_s: float = Field(
        default=3600.0, gt=0, description="For one check, report or cleaning of a file."
    )
    curation_memory_bytes: int = Field(
        default=8 * GIB, gt=0, description="Address space of a process that reads a user's file."
    )
    max_unpacked_bytes: int = Field(
        default=16 * GIB,
        gt=0,
        description="What a file may become, unpacked or as JSON Lines.",
    )

    # Inference.
    upstreams: dict[str, str] = Field(
        default_factory=dict,
        description="Base model id, or name of a merged model → URLs of the vLLM servers that "
        "serve it, with commas; dns+http://NAME:PORT is a server at each address of the name.",
    )
    upstream_api_key: SecretStr | None = None
    upstream_connect_timeout_s: float = Field(default=5.0, gt=0)
    upstream_first_byte_timeout_s: float = Field(default=600.0, gt=0)
    upstream_between_chunks_timeout_s: float = Field(default=120.0, gt=0)
    upstream_dns_every_s: float = Field(default=5.0, gt=0)
    upstream_probe_every_s: float = Field(default=2.0, gt=0)
    upstream_probe_timeout_s: float = Field(default=5.0, gt=0)
    upstream_max_failures: int = Field(
        default=3,
        ge=1,
        description="Requests in a row without a whole answer that leave an engine out.",
    )
    upstream_max_backoff_s: float = Field(
        default=30.0, ge=1, description="Longest time that an engine which is well is left out."
    )
    upstream_warmup_s: float = Field(
        default=10.0, ge=0, description="Until an engine that came back has its full share."
    )
    upstream_load_factor: float = Field(
        default=1.25, gt=1, le=100, description="Most that one engine takes, in shares of the load."
    )
    upstream_spill_above: int = Field(
        default=8, ge=1, description="Requests in flight at which an adapter leaves its engine."
    )
    inference_host: str = "127.0.0.1"
    inference_port: int = Field(default=8100, ge=0, le=65535)
    # The engine's sizes. What is not set is derived from the machine, the base model and its
    # adapters; `doctor` and the engine's log give the reasons.
    max_loras: int | None = Field(default=None, ge=1, description="Adapters in one batch.")
    max_cpu_loras: int | None = Field(
        default=None, ge=1, description="Adapters that an engine keeps in memory."
    )
    max_lora_rank: int | None = Field(
        default=None, ge=1, description="Of jobs and engines; jobs may ask for 64, if not set."
    )
    max_model_len: int | None = Field(default=None, ge=1, description="Prompt and answer.")
    gpu_memory_utilization: float | None = Field(
        default=None, gt=0, le=1, description="The part of a GPU that one engine takes."
    )
    cpu_kv_cache_gib: int = Field(default=1, ge=1)
    gpu_sharing: Literal["separate", "share", "time-slice"] = Field(
        default="separate",
        description=(
            "share: engines and trainings divide one GPU's memory. time-slice: engines sleep "
            "while a job trains. `up` shares, if not set."
        ),
    )
    engine_drain_s: float = Field(
        default=60.0,
        ge=0,
        description="For requests under way to end before an engine sleeps; then they are ended.",
    )
    tool_call_parser: str | None = None
    adapter_cache_dir: Path | None = None
    adapter_cache_bytes: int = Field(default=10 * GIB, gt=0)
    adapter_sweep_s: float = Field(
        default=30.0, gt=0, description="How often an engine drops what it has of deleted models."
    )

    max_answers_per_request: int = Field(
        default=16,
        ge=1,
        description="Of /v1/chat/completions (n) and /v1/completions (prompts times n). Others "
        "wait while an engine begins them: 128 held a short answer up for 15 s on a CPU.",
    )
    # Limits of inference where a project or key has none of its own, as JSON:
    # {"requests_per_minute": 600, "tokens_per_minute": 100000, "concurrent_requests": 32,
    # "concurrent_streams": 16}. A limit that is unset is none, but for the one of `_SAFE_LIMITS`;
    # "unlimited" lifts that.
    default_project_limits: Limits = _SAFE_LIMITS
    default_key_limits: Limits = NO_LIMITS
    usage_flush_s: float = Field(
        default=1.0, gt=0, le=5, description="Between two exchanges of usage with Redis."
    )
    metrics_max_projects: int = Field(
        default=50, ge=0, description="Projects with their own label; later ones are 'other'."
    )

    # How long a key or a model may be remembered by one process. A revoked key and a
    # deleted model are gone everywhere after this time.
    lookup_cache_s: float = Field(default=2.0, ge=0)

    # What must answer before /readyz says 200. An api replica that only lost an engine
    # still serves files and jobs, so a cluster asks for redis and storage alone.
    ready_parts: tuple[Part, ...] = ("redis", "storage")

    log_level: str = "INFO"

    @field_validator("storage_url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not value.startswith(("file:///", "s3://")):
            raise ValueError("storage_url must start with file:/// or s3://")
        return value

    @field_validator("default_project_limits")
    @classmethod
    def _safe_limits(cls, value: Limits) -> Limits:
        return value.or_default(_SAFE_LIMITS)

    @field_validator("webhook_allowed_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [host.strip() for host in value.split(",") if host.strip()]
        return value

    @field_validator("webhook_allowed_hosts")
    @classmethod
    def _bare_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(host.lower() for host in value)
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"webhook_allowed_hosts: write '{host}' as HOST or HOST:PORT")
        return hosts

    @field_validator("cors_origins")
    @classmethod
    def _bare_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # A browser sends no path and no last slash: such an origin would never match.
        for origin in value:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"cors_origins: write '{origin}' as https://HOST[:PORT]")
        return value

    @property
    def scratch(self) -> Path:
        """The folder for files of running jobs."""
        return self.scratch_dir or self.data_dir / "scratch"

    @property
    def lora_rank_limit(self) -> int:
        """The highest rank that a job may ask for; every engine serves it."""
        return self.max_lora_rank or _DEFAULT_RANK_LIMIT

    @property
    def adapter_cache(self) -> Path:
        """The folder where the vLLM resolver keeps adapters it fetched."""
        return self.adapter_cache_dir or self.data_dir / "adapter-cache"
