"""The order for one training run: everything the trainer needs, frozen, on local paths.

The worker writes a `TrainSpec` to a file and starts ``python -m service.training FILE``.
This module imports no torch, so that the worker can import it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_MODULE_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
# vLLM serves no adapter on these, so none is trained.
_EMBEDDING_NAMES = frozenset(
    {"lm_head", "embed_tokens", "embed_in", "embed_out", "wte", "wpe", "output_layer"}
)


class LoraSpec(BaseModel):
    """The shape of the adapter.

    `target_modules` is ``"all-linear"`` (every linear layer but the output head) or names of
    modules. The head and the embeddings are refused: the serving engine cannot load them.
    `dropout` costs time on a CPU (0.05 took 15% of a step on SmolLM2-135M).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int = Field(default=16, ge=1, le=1024)
    alpha: float = Field(default=32, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"

    @field_validator("target_modules")
    @classmethod
    def _servable(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(value, str):
            return value
        if not value:
            raise ValueError('name at least one module, or say "all-linear"')
        for name in value:
            if not _MODULE_NAME.fullmatch(name):
                raise ValueError("a module name has letters, digits, '_' and '.' alone")
            if name.rpartition(".")[2] in _EMBEDDING_NAMES:
                raise ValueError("embeddings and the output head cannot be served as an adapter")
        return value


class TrainSpec(BaseModel):
    """One training run.

    `training_file` and `validation_file` are canonical chat JSONL. `base_model` is the id of
    the catalogue, which is also what the adapter names as its base; `base_model_path` is a
    local folder of safetensors. `batch_size` is in examples an optimizer step, whatever the
    memory allows at once: a batch of more than `tokens_at_once` tokens goes through the model
    in equal parts, with the same result. `learning_rate` is absolute. `max_seq_length` is in
    tokens. Checkpoints fall at `n_checkpoints` even parts of the run, the last at its end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    job_id: str = Field(min_length=1, max_length=200)
    attempt: int = Field(default=1, ge=1)
    base_model: str = Field(min_length=1, max_length=200)
    base_model_path: Path
    training_file: Path
    validation_file: Path | None = None
    output_dir: Path
    resume_from: Path | None = None
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    n_epochs: int = Field(default=3, ge=1, le=50)
    batch_size: int = Field(default=8, ge=1, le=256)
    learning_rate: float = Field(default=2e-4, gt=0, allow_inf_nan=False)
    lora: LoraSpec = LoraSpec()
    quantization: Literal["nf4", "none"] = "nf4"
    max_seq_length: int = Field(default=2048, ge=8)
    tokens_at_once: int = Field(default=4096, ge=1)
    packing: bool = False
    n_checkpoints: int = Field(default=3, ge=1, le=1000)
    gradient_checkpointing: bool = False
