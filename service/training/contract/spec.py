"""The order for one training run: everything the trainer needs, frozen, on local paths.

The worker writes a `TrainSpec` to a file and starts ``python -m service.training FILE``.
This module imports no torch, so that the worker can import it.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_MODULE_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
# vLLM serves no adapter on these, so none is trained.
_EMBEDDING_NAMES = frozenset(
    {"lm_head", "embed_tokens", "embed_in", "embed_out", "wte", "wpe", "output_layer"}
)
_DEFAULT_RANK = 16
# On a CPU more is hardly faster and takes more memory: 5,000 tokens through SmolLM2-135M on
# two cores took 20.9 s and 2.0 GiB at 512, 19.3 s and 2.2 at 1024, 17.5 s and 2.8 at 2048.
_TOKENS_AT_ONCE = {"cpu": 1536, "cuda": 4096}

Method = Literal["sft", "dpo"]
Quantization = Literal["nf4", "none"]
Sharding = Literal["ddp", "fsdp"]


def tokens_at_once(device: str) -> int:
    """How many tokens go through the model in one part where nobody says."""
    return _TOKENS_AT_ONCE[device]


class LoraSpec(BaseModel):
    """The shape of the adapter.

    None takes what the warm start has; without one, `r` is 16, `alpha` is 2 r and
    `target_modules` is ``"all-linear"`` (every linear layer but the output head), else names
    of modules. The head and the embeddings are refused: the serving engine cannot load them.
    `dropout` costs time on a CPU (0.05 took 15% of a step on SmolLM2-135M); DPO runs without.

    `use_rslora` scales by alpha / sqrt(r) in place of alpha / r, in training and, through
    adapter_config.json, in vLLM. `use_dora` trains a magnitude for each output as well (DoRA):
    vLLM (0.32) refuses to load such an adapter, so it can be trained and exported, not served.
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
                raise ValueError("a module name has letters, digits, '_' and '.' alone")
            if name.rpartition(".")[2] in _EMBEDDING_NAMES:
                raise ValueError("embeddings and the output head cannot be served as an adapter")
        return value

    def settled(self) -> LoraShape:
        """The shape of a fresh adapter: defaults in place of None."""
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
    """A `LoraSpec` in which nothing is left open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int
    alpha: float
    dropout: float
    target_modules: Literal["all-linear"] | tuple[str, ...]
    use_dora: bool = False
    use_rslora: bool = False


class EarlyStopping(BaseModel):
    """Ends the run when the loss over all validation rows has not fallen by more than
    `min_delta` below the lowest before it at `patience` evaluations in a row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patience: int = Field(ge=1, le=1000)
    min_delta: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class TrainSpec(BaseModel):
    """One training run.

    `base_model` is the id of the catalogue, which is also what the adapter names as its base;
    `base_model_path` is a local folder of safetensors. `learning_rate` is absolute.
    `max_seq_length` is in tokens. Checkpoints fall at `n_checkpoints` even parts of the run,
    the last at its end; so do evaluations.

    Method. ``"sft"``: the files are canonical chat JSONL. ``"dpo"``: they are canonical
    preference JSONL (``{"input": {"messages": […], "tools"?}, "preferred_output": […],
    "non_preferred_output": […]}``), and `beta` (default 0.1) says how hard the model is held
    to its reference: the base model, with the warm start's adapter where there is one.

    Size. `batch_size` is in examples (rows or pairs) an optimizer step, whatever the memory
    allows at once: a batch of more than `tokens_at_once` tokens goes through the model in
    equal parts, with the same result; a pair counts both its answers. So a run that was out
    of memory may go on with half of it, from its checkpoint. `max_memory_bytes` bounds what
    the process may take (resident; on CUDA of the device's memory), so that too large a run
    ends with ``out_of_memory`` and advice and not by the kernel's hand.

    `warm_start` is a folder with a PEFT LoRA adapter of the same base model
    (adapter_config.json, adapter_model.safetensors): the new adapter starts from its weights,
    in its shape; a `lora` that says otherwise is refused.

    Validation is over `validation_file`, else over the `validation_share` of the training
    rows that the trainer sets aside: whole rows, by the seed, those with one prompt together.
    `early_stopping` and `keep_best` (the final adapter is that of the evaluation with the
    lowest loss) need one of the two, and make every evaluation score all validation rows.

    `probe_rows` short rows, of the validation rows where there are any, are scored with the
    finished adapter and without, for a comparison with the engine that serves it.

    Devices. With `gpus`, that many processes on one machine each compute a share of every
    batch, with the result of one process up to rounding, and of dropout, which each draws for
    itself; a checkpoint can be continued on another number of them. With `sharding` ``"ddp"``
    each device holds the base model, with ``"fsdp"`` a part of it: slower, for models that fit
    no single device (the host's memory then holds `gpus` of them, quantised, while they load).
    `tokens_at_once` and `max_memory_bytes` are of one process. Without CUDA the processes share
    the CPU, which is no faster.

    `template_date` is the date that a chat template prints where it asks for today's, so that
    every attempt of a job renders the same text; None takes the day (UTC) of the run itself.

    `packing` puts several short examples into one row, where they cannot see each other;
    ``"auto"`` packs where batches of similar length would hold much padding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    job_id: str = Field(min_length=1, max_length=200)
    attempt: int = Field(default=1, ge=1)
    method: Method = "sft"
    beta: float | None = Field(default=None, gt=0, le=2, allow_inf_nan=False)
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
        if self.method == "sft" and self.beta is not None:
            raise ValueError('beta belongs to method "dpo"')
        if self.method == "dpo" and self.packing is True:
            raise ValueError('pairs of method "dpo" are not packed: set packing to false or "auto"')
        if self.batch_size < self.gpus:
            raise ValueError(
                f"a batch of {self.batch_size} cannot be shared by {self.gpus} GPUs: set gpus to "
                "at most batch_size"
            )
        if self.sharding == "fsdp" and self.gpus == 1:
            raise ValueError('sharding "fsdp" divides a model among GPUs: set gpus to 2 or more')
        if self.selects and self.validation_file is None and self.validation_share is None:
            raise ValueError(
                "early_stopping and keep_best need a validation_file or a validation_share"
            )
        return self

    def budget(self, device: str) -> int:
        """`tokens_at_once`, or what suits the device."""
        return self.tokens_at_once or tokens_at_once(device)

    @property
    def selects(self) -> bool:
        """Whether the validation loss decides when the run ends or what it gives."""
        return self.early_stopping is not None or self.keep_best
