"""Settings of all processes, read from environment variables (`FINETUNED_…`).

All processes share one class: the API, the worker and the inference launcher of an installation
must agree on Redis, storage and limits, so they read the same variables.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.core.limits import NO_LIMITS, Limits, ProjectLimits
from service.core.networks import network

if TYPE_CHECKING:
    from service.core.encryption.master import MasterKey

MIB = 1024 * 1024
GIB = 1024 * MIB


_DEFAULT_RANK_LIMIT = 64
# A quarter of an engine's concurrent requests (256), so that no project can take all of them.
_SAFE_LIMITS = ProjectLimits(concurrent_requests=64)
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}")
NEVER_PASSED_ON = frozenset(
    {
        *("cache_salt", "chat_template", "ec_transfer_params", "kv_transfer_params"),
        *("request_id", "vllm_xargs"),
    }
)
"""Parameters of vLLM that no operator can allow: they choose templates that the engine executes,
name other requests and caches, or reach extensions of the engine."""
_NAME = r"(?:[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
_HOST = re.compile(rf"{_NAME}(?::[0-9]{{1,5}})?")
_RAY_ADDRESS = re.compile(rf"(?:ray://)?{_NAME}:[0-9]{{1,5}}", re.IGNORECASE)
_TRACKING_URI = re.compile(rf"https?://{_HOST.pattern}(?:/[\w.~/-]*)?", re.ASCII)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]+")

Part = Literal["redis", "storage", "worker", "inference"]


ASYMMETRIC: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Algorithms that sign tokens with a private key, which only the identity provider has."""


class OidcGrant(BaseModel):
    """The role in a project that the bearers of tokens with a claim have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    claim: str
    value: str
    project: str
    role: Literal["admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"]
    models: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _models_of_chatbots(self) -> Self:
        if self.models is not None and self.role != "inference":
            raise ValueError("only the role inference can be limited to models")
        return self


class Settings(BaseSettings):
    """Settings that an operator can set. Names include the unit; secrets are never printed."""

    model_config = SettingsConfigDict(env_prefix="FINETUNED_", extra="ignore")

    # Storage of data and metadata.
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
    data_dir: Path = Path("/var/lib/finetuned")
    models_file: Path = Path("/var/lib/finetuned/models.yaml")
    scratch_dir: Path | None = Field(
        default=None,
        description="Folder for a running job's files. Defaults to data_dir/scratch.",
    )

    encryption_key_file: Path | None = Field(
        default=None,
        description="File with the master key, under which objects in storage are encrypted.",
    )
    encryption_key: SecretStr | None = Field(
        default=None, description="The master key itself, in the place of a file."
    )
    encryption_vault_address: str | None = Field(
        default=None,
        description="Address of a Vault whose transit engine has the master key, in the place of a "
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
        description="PEM file with an Ed25519 private key, which signs erasure receipts and "
        "adapters. Without it, the service makes a key for receipts and stores it in Redis.",
    )
    adapter_key_file: Path | None = Field(
        default=None,
        description="PEM file with the public key. Engines then load only adapters that it signed.",
    )

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=0, le=65535)
    api_tls_cert: Path | None = Field(
        default=None,
        description="File with the certificate of the API and those between it and its CA, in PEM "
        "format. The API then speaks https only. Needs api_tls_key.",
    )
    api_tls_key: Path | None = Field(
        default=None, description="File with the private key of this certificate, without password."
    )
    api_metrics_host: str = Field(
        default="127.0.0.1",
        description="Address of the metrics port. Keep it internal: metrics name projects and "
        "need no key.",
    )
    api_metrics_port: int = Field(default=9101, ge=0, le=65535)
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description="Origins of web pages that may use the API from a browser. ['*'] allows all.",
    )

    # Clients.
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Addresses and ranges of reverse proxies, separated by commas, whose "
        "X-Forwarded-For states the client's address.",
    )
    failed_authentications_per_minute: int = Field(
        default=60,
        ge=0,
        description="Requests with a wrong key that each address may send to a process before "
        "they are answered 429. 0: any number.",
    )

    max_connections_per_address: int = Field(
        default=2000,
        ge=0,
        description="Connections that one address may hold to a process. Trusted proxies and the "
        "machine itself may hold any number. 0: no limit.",
    )

    # Limits on requests and uploads.
    max_file_bytes: int = Field(default=512 * MIB, gt=0)
    max_upload_bytes: int = Field(
        default=8 * GIB, gt=0, description="Maximum size of a file uploaded in parts."
    )
    max_upload_part_bytes: int = Field(default=64 * MIB, gt=0)
    max_json_body_bytes: int = Field(default=1 * MIB, gt=0)
    max_inference_body_bytes: int = Field(default=8 * MIB, gt=0)
    client_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="Time for a client to send a request's head, and its body. An upload may take "
        "longer while data keeps arriving. Also the time to read each part of an inference "
        "response.",
    )
    max_pending_uploads_per_project: int = Field(default=100, ge=1)
    max_uploads_at_once: int = Field(
        default=64,
        ge=1,
        description="Maximum number of files and parts that an API process receives at once. "
        "Further ones wait for up to 30 s and are then answered 429.",
    )
    max_file_tasks_per_project: int = Field(
        default=50,
        ge=1,
        description="Maximum number of tasks on files, such as reports and cleanings, that wait "
        "or run.",
    )
    max_aliases_per_project: int = Field(default=1000, ge=1)
    max_exports_per_project: int = Field(
        default=20, ge=1, description="Maximum number of exports that a project keeps."
    )
    export_signing_key: Path | None = Field(
        default=None, description="File of the EC key that signs exports, in PEM format."
    )
    min_examples: int = Field(default=10, ge=1)
    max_queued_jobs_per_project: int = Field(
        default=100,
        ge=1,
        description="Maximum number of queued jobs, including jobs being checked. Above it, job "
        "creation answers 429.",
    )

    # Scheduling.
    max_running_jobs_per_project: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of running jobs. Further jobs wait, even if GPUs are free.",
    )

    # Evaluations.
    max_evals_per_project: int = Field(default=1000, ge=1)
    max_runs_per_eval: int = Field(default=1000, ge=1)
    max_unfinished_eval_runs_per_project: int = Field(
        default=20,
        ge=1,
        description="Maximum number of runs that wait or run. Above it, run creation answers 429.",
    )
    eval_runs_at_once: int = Field(
        default=4,
        ge=1,
        description="Number of runs and evaluations of jobs that a worker executes concurrently.",
    )
    eval_requests_at_once: int = Field(
        default=64,
        ge=1,
        le=1024,
        description="Number of concurrent requests of a run, or of the evaluation of a job.",
    )
    eval_engine_patience_s: float = Field(
        default=3600.0,
        ge=0,
        description="How long a run, or the evaluation of a job, waits for an engine that is down.",
    )

    # Batches.
    max_unfinished_batches_per_project: int = Field(
        default=20,
        ge=1,
        description="Maximum number of batches that wait or run. Above it, batch creation answers "
        "429.",
    )
    batches_at_once: int = Field(
        default=2, ge=1, description="Number of batches that a worker executes concurrently."
    )
    batch_requests_at_once: int = Field(
        default=64, ge=1, le=1024, description="Number of concurrent requests of a batch."
    )

    # Generations of training rows from documents.
    max_unfinished_generations_per_project: int = Field(
        default=5,
        ge=1,
        description="Maximum number of generations that wait or run. Above it, the creation of one "
        "answers 429.",
    )
    generation_requests_at_once: int = Field(
        default=16, ge=1, le=1024, description="Number of concurrent requests of a generation."
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

    # Experiment tracking.
    mlflow_tracking_uris: Annotated[tuple[str, ...], NoDecode] = Field(
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

    # Worker.
    worker_name: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    worker_port: int = Field(default=9100, ge=0, le=65535)
    worker_host: str = "127.0.0.1"
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
    audit_witness_command: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Command that gets each checkpoint of the audit log on its standard input, as "
        "its program and arguments, separated by commas.",
    )
    lease_s: float = Field(
        default=30.0, gt=0, description="Time after which a job without lease renewal is lost."
    )
    reconcile_every_s: float = Field(default=5.0, gt=0)
    journal_every_s: float = Field(
        default=10.0,
        ge=0,
        description="How often a worker writes changes of Redis to the journal in storage, from "
        "which 'rebuild' restores it. 0: never.",
    )
    metrics_kept_days: int = Field(
        default=30,
        ge=0,
        description="How long the metrics of a job that has ended stay in its events. They are "
        "then only in its result file.",
    )
    max_attempts_without_progress: int = Field(default=3, ge=1)
    storage_patience_s: float = Field(
        default=600.0, ge=0, description="How long a worker waits for unavailable storage."
    )
    storage_reserve_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Bytes that stay free on the disk of a storage folder: what would leave less "
        "is refused. By default, 1% of the disk, at most 1 GiB.",
    )
    tokens_at_once: int | None = Field(
        default=None,
        ge=64,
        description="Maximum number of tokens in one pass of a trainer through the model. If "
        "unset, chosen for the device and its memory.",
    )
    trainer_gpus: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Number of this worker's GPUs that one training uses. If unset, all. With "
        "ray_address, the number of the cluster's GPUs.",
    )
    trainer_sharding: Literal["auto", "ddp", "fsdp"] = Field(
        default="auto",
        description="Multi-GPU strategy. fsdp shards the base model; auto does so if it does not "
        "fit on one GPU.",
    )
    trainer_memory_bytes: int | None = Field(
        default=None,
        gt=0,
        description="Maximum memory of a trainer. If unset, the memory of its device.",
    )
    ray_address: str | None = Field(
        default=None,
        description="Ray cluster that runs this worker's trainings, as ray://HOST:10001. Needs "
        "trainer_gpus.",
    )
    ray_device: Literal["cuda", "cpu"] = Field(
        default="cuda",
        description="Whether the processes of a training take GPUs or CPUs of the Ray cluster.",
    )
    train_slo_ms: int = Field(
        default=0,
        ge=0,
        le=600_000,
        description="Latency budget of chats next to a training that shares their device "
        "(gpu_sharing share): the 95th percentile of the time until the first byte. Trainings rest "
        "to keep it. 0: they do not.",
    )
    stop_grace_s: float = Field(
        default=60.0,
        gt=0,
        description="Time for a trainer to save a checkpoint after it is asked to stop.",
    )
    cpu_tasks: int = Field(default=2, ge=1, description="Number of concurrent CPU-queue tasks.")
    evaluation_rows: int = Field(
        default=100,
        ge=0,
        le=1000,
        description="Held-out rows on which a finished job is evaluated; 0 turns this off.",
    )
    evaluation_checkpoints: int = Field(
        default=2,
        ge=0,
        le=10,
        description="Checkpoints of a finished job that are evaluated besides its final model.",
    )
    curation_timeout_s: float = Field(
        default=3600.0,
        gt=0,
        description="Time limit of one check, report, cleaning or import of a file.",
    )
    curation_memory_bytes: int = Field(
        default=8 * GIB, gt=0, description="Address space of a process that reads a user's file."
    )
    max_unpacked_bytes: int = Field(
        default=16 * GIB,
        gt=0,
        description="Maximum size of a file after it is unpacked or converted to JSON Lines.",
    )

    # Inference.
    upstreams: dict[str, str] = Field(
        default_factory=dict,
        description="Base model ID, or name of a merged model → comma-separated URLs of the vLLM "
        "servers that serve it. dns+http://NAME:PORT means one server at each address of the name.",
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
        description="Number of consecutive requests without a complete answer after which an "
        "engine is ejected.",
    )
    upstream_max_backoff_s: float = Field(
        default=30.0, ge=1, description="Maximum time that a healthy engine stays ejected."
    )
    upstream_warmup_s: float = Field(
        default=10.0,
        ge=0,
        description="Time until a recovered engine receives its full share of the load.",
    )
    upstream_load_factor: float = Field(
        default=1.25,
        gt=1,
        le=100,
        description="Maximum load of one engine, as a multiple of its share of the load.",
    )
    upstream_spill_above: int = Field(
        default=8,
        ge=1,
        description="Number of requests in flight at which an adapter's requests spill over to "
        "another engine.",
    )
    engine_requests_at_once: int = Field(
        default=256,
        ge=1,
        description="Number of answers that an API process lets an engine work on at once. Further "
        "requests wait in the API, and projects take turns.",
    )
    inference_host: str = "127.0.0.1"
    inference_port: int = Field(default=8100, ge=0, le=65535)
    # Sizes of the engine. Unset values are derived from the machine, the base model and its
    # adapters; `doctor` and the engine's log give the reasons.
    max_loras: int | None = Field(
        default=None, ge=1, description="Maximum number of adapters in one batch."
    )
    max_cpu_loras: int | None = Field(
        default=None, ge=1, description="Maximum number of adapters that an engine keeps in memory."
    )
    max_lora_rank: int | None = Field(
        default=None,
        ge=1,
        description="Maximum rank for jobs and engines. If unset, jobs may use ranks up to 64.",
    )
    max_model_len: int | None = Field(
        default=None, ge=1, description="Maximum number of tokens of a prompt and its answer."
    )
    gpu_memory_utilization: float | None = Field(
        default=None, gt=0, le=1, description="Fraction of a GPU's memory that one engine uses."
    )
    cpu_kv_cache_gib: int = Field(default=1, ge=1)
    gpu_sharing: Literal["separate", "share", "time-slice"] = Field(
        default="separate",
        description=(
            "How engines and trainings use a GPU. share: they divide its memory. time-slice: "
            "engines sleep while a job trains. If unset, `up` uses share."
        ),
    )
    engine_drain_s: float = Field(
        default=60.0,
        ge=0,
        description="Time for running requests to finish before an engine sleeps. Then they are "
        "aborted.",
    )
    tool_call_parser: str | None = Field(
        default=None,
        description="vLLM's parser of tool calls for all models without `tool_call_parser` in the "
        "catalog; `none` disables tools. If unset, it is detected from each chat template.",
    )
    reasoning_parser: str | None = Field(
        default=None,
        description="vLLM's parser of thoughts for all models without `reasoning_parser` in the "
        "catalog; `none` disables it. If unset, it is detected from each chat template.",
    )
    adapter_cache_dir: Path | None = None
    adapter_cache_bytes: int = Field(default=10 * GIB, gt=0)
    adapter_sweep_s: float = Field(
        default=30.0, gt=0, description="Interval at which an engine removes deleted models."
    )

    max_answers_per_request: int = Field(
        default=16,
        ge=1,
        description="Maximum number of answers of one /v1/chat/completions (n) or /v1/completions "
        "(prompts times n) request. Other requests wait while an engine starts the answers: 128 "
        "answers delayed a short answer by 15 s on a CPU.",
    )
    max_constraint_repetitions: int = Field(
        default=500,
        ge=0,
        description="Maximum sum of the different limits of lengths and repetitions of a schema or "
        "grammar that constrains an answer, each counted up to 100.",
    )
    extra_request_fields: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Parameters of vLLM that inference requests may have in addition to those of "
        "docs/serving.md, separated by commas. They are passed on without checks.",
    )
    # Limits of projects and keys that have none of their own, as JSON:
    # {"requests_per_minute": 600, "tokens_per_minute": 100000, "concurrent_requests": 32,
    # "concurrent_streams": 16}, and for projects "storage_bytes". An unset limit means unlimited,
    # except for those in `_SAFE_LIMITS`, which "unlimited" lifts.
    default_project_limits: ProjectLimits = _SAFE_LIMITS
    default_key_limits: Limits = NO_LIMITS
    usage_flush_s: float = Field(
        default=1.0, gt=0, le=5, description="Interval at which usage is synchronized with Redis."
    )
    metrics_max_projects: int = Field(
        default=50,
        ge=0,
        description="Number of projects with their own metrics label. Others share 'other'.",
    )
    metrics_max_aliases: int = Field(
        default=50,
        ge=0,
        description="Number of aliases whose gain is exported: those that changed last.",
    )

    # How long a process may cache a key or a model. A revoked key and a deleted model stop
    # working in all processes after this time.
    lookup_cache_s: float = Field(default=2.0, ge=0)

    # What must respond before /readyz returns 200. An API replica that has only lost an engine
    # still serves files and jobs, so a cluster requires only Redis and storage.
    ready_parts: tuple[Part, ...] = ("redis", "storage")

    # Tokens of an identity provider (OpenID Connect), beside API keys.
    oidc_issuer: str | None = Field(
        default=None,
        description="`iss` of the tokens of an identity provider that are accepted beside API "
        "keys. Needs all of the next ones.",
    )
    oidc_audience: str | None = Field(default=None, description="`aud` of these tokens.")
    oidc_jwks: str | None = Field(
        default=None,
        description="URL (https://) or path of the provider's public keys (JWKS).",
    )
    oidc_grants: tuple[OidcGrant, ...] = Field(
        default=(),
        description="Which claim of a token gives which role in which project, as a JSON list. The "
        "first that matches counts.",
    )
    oidc_algorithms: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("RS256", "PS256", "ES256", "EdDSA"),
        description="Algorithms that may sign tokens, separated by commas. All are asymmetric.",
    )
    oidc_leeway_s: int = Field(
        default=30, ge=0, le=300, description="How much the provider's clock may differ."
    )

    log_level: str = "INFO"

    @field_validator("storage_url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not value.startswith(("file:///", "s3://")):
            raise ValueError("storage_url must start with file:/// or s3://")
        return value

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.api_tls_cert is None) != (self.api_tls_key is None):
            raise ValueError("api_tls_cert and api_tls_key: set both, or neither")
        return self

    @field_validator("ray_address")
    @classmethod
    def _address_of_ray(cls, value: str | None) -> str | None:
        if value is not None and not _RAY_ADDRESS.fullmatch(value):
            raise ValueError(
                "ray_address: write ray://HOST:PORT, or HOST:PORT on a node of the cluster"
            )
        return value

    @model_validator(mode="after")
    def _whole_oidc(self) -> Self:
        parts = (self.oidc_issuer, self.oidc_audience, self.oidc_jwks, self.oidc_grants)
        if any(parts) and not all(parts):
            raise ValueError(
                "oidc_issuer, oidc_audience, oidc_jwks and oidc_grants need each other: set all"
            )
        unknown = set(self.oidc_algorithms) - ASYMMETRIC
        if unknown or not self.oidc_algorithms:
            raise ValueError(
                f"oidc_algorithms: {', '.join(sorted(unknown)) or 'nothing'} cannot be used; use "
                f"some of {', '.join(sorted(ASYMMETRIC))}"
            )
        if self.oidc_jwks and self.oidc_jwks.startswith("http://"):
            host = urlsplit(self.oidc_jwks).hostname
            if host not in ("127.0.0.1", "::1", "localhost"):
                raise ValueError("oidc_jwks must be https://, or http:// on this machine")
        return self

    @model_validator(mode="after")
    def _size_on_ray(self) -> Self:
        if self.ray_address is not None and self.trainer_gpus is None:
            raise ValueError(
                "ray_address needs trainer_gpus: the number of GPUs of the cluster that one "
                "training uses"
            )
        return self

    @field_validator("default_project_limits")
    @classmethod
    def _safe_limits(cls, value: ProjectLimits) -> ProjectLimits:
        return value.or_default(_SAFE_LIMITS)

    @field_validator(
        *("webhook_allowed_hosts", "mlflow_tracking_uris", "extra_request_fields"),
        *("trusted_proxies", "oidc_algorithms", "audit_witness_command"),
        mode="before",
    )
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            network(text)
        return value

    @field_validator("webhook_allowed_hosts")
    @classmethod
    def _bare_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(host.lower() for host in value)
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"webhook_allowed_hosts: write '{host}' as HOST or HOST:PORT")
        return hosts

    @field_validator("extra_request_fields")
    @classmethod
    def _harmless_fields(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _FIELD.fullmatch(name):
                raise ValueError(f"extra_request_fields: '{name}' is not a name of a parameter")
            if name in NEVER_PASSED_ON:
                raise ValueError(
                    f"extra_request_fields: '{name}' is never passed on, because it reaches beyond "
                    "its request"
                )
        return value

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

    @field_validator("cors_origins")
    @classmethod
    def _bare_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # A browser sends no path and no trailing slash, so such an origin would never match.
        for origin in value:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"cors_origins: write '{origin}' as https://HOST[:PORT]")
        return value

    def master_key(self) -> MasterKey | None:
        """The key under which objects are encrypted, or None. Raises MasterKeyError."""
        if not (self.encryption_key_file or self.encryption_key or self.encryption_vault_address):
            return None
        from service.core.encryption.choice import master_key

        return master_key(
            file=self.encryption_key_file,
            text=None if self.encryption_key is None else self.encryption_key.get_secret_value(),
            vault_address=self.encryption_vault_address,
            vault_key=self.encryption_vault_key,
            vault_mount=self.encryption_vault_mount,
            vault_token_file=self.encryption_vault_token_file,
        )

    @property
    def scratch(self) -> Path:
        """Folder for the files of running jobs."""
        return self.scratch_dir or self.data_dir / "scratch"

    @property
    def lora_rank_limit(self) -> int:
        """The highest rank that a job may use; every engine serves it."""
        return self.max_lora_rank or _DEFAULT_RANK_LIMIT

    @property
    def adapter_cache(self) -> Path:
        """Folder where the vLLM resolver keeps downloaded adapters."""
        return self.adapter_cache_dir or self.data_dir / "adapter-cache"
