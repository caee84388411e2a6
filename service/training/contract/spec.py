"""Specification of one training run: everything the trainer needs, frozen, with local paths.

The worker writes a `TrainSpec` to a file and starts ``python -m service.training FILE``. This
module does not import torch, so the worker can import it.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from service.training.contract.methods import BY_SPEC_NAME, SpecMethod, TrainingMethod

_MODULE_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
# vLLM cannot serve adapters on these modules, so they are not trained.
_EMBEDDING_NAMES = frozenset(
    {"lm_head", "embed_tokens", "embed_in", "embed_out", "wte", "wpe", "output_layer"}
)
_DEFAULT_RANK = 16
# On a CPU, a larger value is barely faster and uses more memory: 5,000 tokens through SmolLM2-135M
# on two cores took 20.9 s and 2.0 GiB at 512, 19.3 s and 2.2 GiB at 1024, 17.5 s and 2.8 GiB at
# 2048.
_TOKENS_AT_ONCE = {"cpu": 1536, "cuda": 4096}

Quantization = Literal["nf4", "none"]
Sharding = Literal["ddp", "fsdp"]


def tokens_at_once(device: str) -> int:
    """Default number of tokens that go through the model at once on this device."""
    return _TOKENS_AT_ONCE[device]


class LoraSpec(BaseModel):
    """Shape of the adapter.

    A field that is None takes the warm start's value. Without a warm start, `r` defaults to 16,
    `alpha` to 2 r, and `target_modules` to ``"all-linear"`` (every linear layer except the output
    head); `target_modules` may also list module names. The output head and the embeddings are
    rejected because the serving engine cannot load them. `dropout` costs time on a CPU (0.05 took
    15% of a step on SmolLM2-135M); DPO does not use it.

    `use_rslora` scales by alpha / sqrt(r) instead of alpha / r, both in training and, through
    adapter_config.json, in vLLM. `use_dora` also trains a magnitude for each output (DoRA). vLLM
    (0.32) refuses to load such an adapter, so it can be trained and exported, but not served.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int | None = Field(default=None, ge=1, le=1024)
    alpha: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: Literal["all-linear"] | tuple[str, ...] | None = None
    use_dora: bool | None = None
    use_rslora: bool | None = None

    @field_validator("target_modules")
    @classmethod
    def _servable(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        if value is None or isinstance(value, str):
            return value
        if not value:
            raise ValueError('name at least one module, or say "all-linear"')
        for name in value:
            if not _MODULE_NAME.fullmatch(name):
                raise ValueError("a module name can contain only letters, digits, '_' and '.'")
            if name.rpartition(".")[2] in _EMBEDDING_NAMES:
                raise ValueError("embeddings and the output head cannot be served as an adapter")
        return value

    def settled(self) -> LoraShape:
        """Shape of a fresh adapter, with defaults in place of None."""
        rank = self.r or _DEFAULT_RANK
        return LoraShape(
            r=rank,
            alpha=self.alpha or 2.0 * rank,
            dropout=self.dropout,
            target_modules=self.target_modules or "all-linear",
            use_dora=bool(self.use_dora),
            use_rslora=bool(self.use_rslora),
        )


class LoraShape(BaseModel):
    """A `LoraSpec` with every field resolved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int
    alpha: float
    dropout: float
    target_modules: Literal["all-linear"] | tuple[str, ...]
    use_dora: bool = False
    use_rslora: bool = False


class EarlyStopping(BaseModel):
    """Early-stopping rule based on the validation loss.

    The run ends when the loss over all validation rows has not fallen by more than `min_delta`
    below its previous minimum for `patience` evaluations in a row.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patience: int = Field(ge=1, le=1000)
    min_delta: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class TrainSpec(BaseModel):
    """Specification of one training run.

    `base_model` is the catalog id, which the adapter also names as its base. `base_model_path` is a
    local folder of safetensors. `learning_rate` is absolute. `max_seq_length` is in tokens.
    Checkpoints and evaluations occur at `n_checkpoints` evenly spaced points of the run, the last
    one at its end.

    Method. With `sft`, the files are canonical chat JSONL. With `dpo`, they are canonical
    preference JSONL (``{"input": {"messages": […], "tools"?}, "preferred_output": […],
    "non_preferred_output": […]}``), and `beta` (default 0.1) sets how strongly the model is held to
    its reference. The reference is the base model, with the warm start's adapter if there is one.

    With `kto`, they are canonical labeled JSONL (``{"messages": […], "tools"?, "label": …}``),
    whose last message was marked good or bad. `beta` works as in DPO. `desirable_weight` and
    `undesirable_weight` scale the loss of good and bad answers; None balances the two.

    Size. `batch_size` is the number of examples (rows or pairs) per optimizer step, regardless of
    how many fit in memory at once. A batch of more than `tokens_at_once` tokens goes through the
    model in equal parts, with the same result; a pair counts both its answers. A run that ran out
    of memory can therefore resume from its checkpoint with half the value. `max_memory_bytes`
    limits the memory of the process (resident, or device memory on CUDA), so that an oversized run
    ends with ``out_of_memory`` and advice instead of being killed by the kernel.

    `warm_start` is a folder with a PEFT LoRA adapter of the same base model (adapter_config.json,
    adapter_model.safetensors). The new adapter starts from its weights and takes its shape; a
    conflicting `lora` is rejected.

    Validation uses `validation_file`, or else the `validation_share` of the training rows that the
    trainer holds out: whole rows, chosen by the seed, with rows that share a prompt kept together.
    `early_stopping` and `keep_best` (the final adapter is that of the evaluation with the lowest
    loss) require one of the two and make every evaluation score all validation rows.

    `probe_rows` short rows, taken from the validation rows if there are any, are scored with and
    without the finished adapter, for comparison with the engine that serves it.

    Devices. With `gpus`, that many processes on one machine each compute a share of every batch.
    The result equals that of one process, except for rounding and for dropout, which each process
    draws independently. A checkpoint can be resumed with a different number of processes. With
    `sharding` ``"ddp"``, each device holds the whole base model. With ``"fsdp"``, each holds a part
    of it, which is slower and meant for models that do not fit on one device (host memory then
    holds `gpus` quantized copies during loading). `tokens_at_once` and `max_memory_bytes` apply per
    process. Without CUDA, the processes share the CPU, which is no faster.

    `template_date` is the date that a chat template prints when it asks for today's date, so that
    every attempt of a job renders the same text. None means the day (UTC) of the run.

    `packing` puts several short examples into one row, where they cannot attend to each other.
    ``"auto"`` packs when batches of similar length would contain much padding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    job_id: str = Field(min_length=1, max_length=200)
    attempt: int = Field(default=1, ge=1)
    method: SpecMethod = "sft"
    beta: float | None = Field(default=None, gt=0, le=2, allow_inf_nan=False)
    desirable_weight: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    undesirable_weight: float | None = Field(default=None, gt=0, le=1000, allow_inf_nan=False)
    base_model: str = Field(min_length=1, max_length=200)
    base_model_path: Path
    training_file: Path
    validation_file: Path | None = None
    validation_share: float | None = Field(default=None, gt=0, le=0.5)
    output_dir: Path
    resume_from: Path | None = None
    warm_start: Path | None = None
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    n_epochs: int = Field(default=3, ge=1, le=50)
    batch_size: int = Field(default=8, ge=1, le=256)
    learning_rate: float = Field(default=2e-4, gt=0, allow_inf_nan=False)
    lora: LoraSpec = LoraSpec()
    quantization: Quantization = "nf4"
    max_seq_length: int = Field(default=2048, ge=8)
    template_date: date | None = None
    tokens_at_once: int | None = Field(default=None, ge=1)
    max_memory_bytes: int | None = Field(default=None, ge=2**20)
    packing: bool | Literal["auto"] = False
    n_checkpoints: int = Field(default=3, ge=1, le=1000)
    early_stopping: EarlyStopping | None = None
    keep_best: bool = False
    gradient_checkpointing: bool = False
    probe_rows: int = Field(default=0, ge=0, le=64)
    gpus: int = Field(default=1, ge=1, le=64)
    sharding: Sharding = "ddp"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.of_method.beta is None and self.beta is not None:
            raise ValueError(f'beta requires another method than "{self.method}"')
        if self.of_method.row_format != "labeled" and (
            self.desirable_weight is not None or self.undesirable_weight is not None
        ):
            raise ValueError(f'weights of labels require another method than "{self.method}"')
        if self.batch_size < self.of_method.least_batch_size:
            raise ValueError(
                f'method "{self.method}" needs a batch_size of {self.of_method.least_batch_size} '
                "or more"
            )
        if not self.of_method.packs and self.packing is True:
            raise ValueError(
                f'samples of method "{self.method}" cannot be packed: '
                'set packing to false or "auto"'
            )
        if self.batch_size < self.gpus:
            raise ValueError(
                f"a batch of {self.batch_size} cannot be shared by {self.gpus} GPUs: set gpus to "
                "at most batch_size"
            )
        if self.sharding == "fsdp" and self.gpus == 1:
            raise ValueError('sharding "fsdp" splits a model across GPUs: set gpus to 2 or more')
        if self.selects and self.validation_file is None and self.validation_share is None:
            raise ValueError(
                "early_stopping and keep_best need a validation_file or a validation_share"
            )
        return self

    def budget(self, device: str) -> int:
        """`tokens_at_once`, or the default for the device."""
        return self.tokens_at_once or tokens_at_once(device)

    @property
    def of_method(self) -> TrainingMethod:
        """The entry of the method."""
        return BY_SPEC_NAME[self.method]

    @property
    def selects(self) -> bool:
        """Whether the validation loss decides when the run ends or which adapter it returns."""
        return self.early_stopping is not None or self.keep_best
