"""Settings of the inference gateway and of engines: balancing, sizes, parsers and adapters."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, TypeAdapter, field_validator

from service.config.fields import GIB, CommaSeparated

log = logging.getLogger(__name__)
_URLS = TypeAdapter(dict[str, str])
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,63}")
NEVER_PASSED_ON = frozenset(
    {
        *("cache_salt", "chat_template", "ec_transfer_params", "kv_transfer_params"),
        *("request_id", "vllm_xargs"),
    }
)
"""Parameters of vLLM that no operator can allow: they choose templates that the engine executes,
refer to other requests and caches, or reach extensions of the engine."""


class GatewaySettings(BaseModel):
    """The gateway: its engines, and limits of requests."""

    upstreams: dict[str, str] = Field(
        default_factory=dict,
        description="Base model ID → comma-separated URLs of the vLLM servers that serve it. "
        "dns+http://NAME:PORT or dns+https://NAME:PORT means one server at each address of the "
        "name.",
    )
    upstreams_file: Path | None = Field(
        default=None,
        description="JSON file with more of them, which is read again when it changes: models are "
        "added and removed without a restart.",
    )
    upstream_api_key: SecretStr | None = None
    upstream_first_byte_timeout_s: float = Field(default=600.0, gt=0)
    upstream_probe_every_s: float = Field(default=2.0, gt=0)
    engine_requests_at_once: int = Field(
        default=256,
        ge=1,
        description="Number of answers that the API processes together let an engine work on at "
        "once. Further requests wait in the API, and projects take turns.",
    )

    engine_start_wait_s: float = Field(
        default=0.0,
        ge=0,
        description="How long requests wait in the API while no engine of their model serves, such "
        "as one that was scaled to zero. 0: they are refused at once.",
    )
    max_answers_per_request: int = Field(
        default=16,
        ge=1,
        description="Maximum number of answers of one /v1/chat/completions (n) or /v1/completions "
        "(prompts times n) request. Other requests wait while an engine starts the answers: 128 "
        "answers delayed a short answer by 15 s on a CPU.",
    )
    max_constraint_repetitions: int = Field(
        default=2000,
        ge=0,
        description="Maximum sum of the different limits of lengths and repetitions of all schemas "
        "and grammars that constrain an answer, each counted up to 100.",
    )
    extra_request_fields: CommaSeparated = Field(
        default=(),
        description="Parameters of vLLM that inference requests may have in addition to those of "
        "docs/serving.md, separated by commas. They are passed on without checks.",
    )

    _read_upstreams: dict[str, str] | None = PrivateAttr(default=None)

    @property
    def engine_urls(self) -> dict[str, str]:
        """The URLs of `upstreams` and of its file as it is now.

        While the file cannot be read, they stay as they were. Raises ValueError if it never could:
        not all processes that share the settings of an installation have it.
        """
        file = self.upstreams_file
        if file is None:
            return self.upstreams
        try:
            self._read_upstreams = _URLS.validate_json(file.read_bytes())
        except (OSError, ValueError) as e:
            wanted = 'such as {"MODEL": "http://HOST:PORT"}'
            fault = f"FINETUNED_UPSTREAMS_FILE: {file} is not JSON {wanted}: {e}"
            if self._read_upstreams is None:
                raise ValueError(fault) from e
            log.warning("the last list of engines is used: %s", fault)
        return self.upstreams | self._read_upstreams

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


_DEFAULT_RANK_LIMIT = 64


class EngineSettings(BaseModel):
    """Engines: their sizes, parsers and adapters."""

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
    sleeping_engines: CommaSeparated = Field(
        default=(),
        description="URLs of the engines that sleep while this worker trains, separated by commas. "
        "If empty, all engines with time-slice, and none otherwise. `up` sets it for each worker.",
    )
    gpu_models: CommaSeparated = Field(
        default=(),
        description="Base models, separated by commas, whose engines share the GPU of this "
        "process. If empty, those of all models.",
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
        description="vLLM's parser of reasoning for all models without `reasoning_parser` in the "
        "catalog; `none` disables it. If unset, it is detected from each chat template.",
    )
    adapter_cache_bytes: int = Field(default=10 * GIB, gt=0)
    adapter_sweep_s: float = Field(
        default=30.0, gt=0, description="Interval at which an engine removes deleted models."
    )

    @property
    def lora_rank_limit(self) -> int:
        """The highest rank that a job may use; every engine serves it."""
        return self.max_lora_rank or _DEFAULT_RANK_LIMIT
