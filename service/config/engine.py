"""Engines: their sizes, parsers and adapters."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from service.config.units import GIB

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
    adapter_cache_bytes: int = Field(default=10 * GIB, gt=0)
    adapter_sweep_s: float = Field(
        default=30.0, gt=0, description="Interval at which an engine removes deleted models."
    )

    @property
    def lora_rank_limit(self) -> int:
        """The highest rank that a job may use; every engine serves it."""
        return self.max_lora_rank or _DEFAULT_RANK_LIMIT
