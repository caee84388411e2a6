"""Specifies one training run: everything the trainer needs, frozen, with local paths.

The worker writes a `TrainSpec` to a file and starts ``python -m service.training FILE``. This
module does not import torch, so the worker can import it.
"""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from service.training.contract.hyperparameters import RESOLVED, Resolved, check_modules
from service.training.contract.methods import BY_SPEC_NAME, SpecMethod, TrainingMethod


class MixedRows(BaseModel):
    """Consecutive rows of a training file that come from one of the mixed files.

    `file` names the file in messages. `weight` is how often each row is drawn per epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(min_length=1, max_length=200)
    rows: int = Field(ge=1)
    weight: float = Field(gt=0, allow_inf_nan=False)


def drawn_per_epoch(count: int, weight: float) -> int:
    """Return how many of `count` examples, repeated ones included, an epoch draws."""
    return max(1, math.floor(weight * count + 0.5)) if count else 0


# On a CPU, a larger value is barely faster and uses more memory: 5,000 tokens through SmolLM2-135M
# on two cores took 20.9 s and 2.0 GiB at 512, 19.3 s and 2.2 GiB at 1024, 17.5 s and 2.8 GiB at
# 2048.
_TOKENS_AT_ONCE = {"cpu": 1536, "cuda": 4096}
# On a GPU, a part has a fixed cost: launching the kernels, and converting 4-bit weights to 16 bits.
# With 16,384 tokens, both are below 2% of the time for models from a billion weights on, by
# calculation.
_MOST_TOKENS_AT_ONCE = {"cpu": 1536, "cuda": 16_384}

Sharding = Literal["ddp", "fsdp"]
Sampling = Literal["engine", "trainer"]


def tokens_at_once(device: str) -> int:
    """Return how many tokens go through the model at once by default on this device."""
    return _TOKENS_AT_ONCE[device]


def most_tokens_at_once(device: str) -> int:
    """Return how many tokens go through the model at once if the device has much free memory."""
    return _MOST_TOKENS_AT_ONCE[device]


class TrainSpec(BaseModel):
    """Specification of one training run.

    `base_model` is the catalog id, which the adapter also names as its base. `base_model_path` is a
    local folder of safetensors. Checkpoints and evaluations occur at `n_checkpoints` evenly spaced
    points of the run, the last one at its end.

    Method. `hyperparameters` is the resolved form of the method's hyperparameters. With `sft`, the
    files are canonical chat JSONL. With `dpo`, they are canonical preference JSONL (``{"input":
    {"messages": […], "tools"?}, "preferred_output": […], "non_preferred_output": […]}``), and
    `beta` sets how strongly the model is held to its reference. The reference is the base model,
    with the warm start's adapter if there is one. With `kto`, they are canonical labeled JSONL
    (``{"messages": […], "tools"?, "label": …}``), whose last message was marked good or bad.
    With `pretraining`, they are canonical text JSONL (``{"text": …}``), all of whose tokens are
    learned; chats may be mixed with them. With `reinforcement`, they are prompts (``{"messages":
    […], "tools"?, "item"}``), and `sampling` says who answers them: the worker's ``"engine"``,
    which loads the adapter before each step, or the ``"trainer"`` itself, which is slower. In both
    cases, the worker grades the answers (`contract.samples`).

    Mixture. If `training_file` contains the rows of several files, one after another, `mixture`
    says how many come from each and how often an epoch draws them. If it is empty, an epoch draws
    each row once.

    Size. `batch_size` is the number of examples (rows or pairs) per optimizer step, regardless of
    how many fit in memory at once. A batch of more than `tokens_at_once` tokens goes through the
    model in equal parts, with the same result; a pair counts both its answers. A run that ran out
    of memory can therefore resume from its checkpoint with half the value. `max_memory_bytes`
    limits the memory of the process (resident, or device memory on CUDA), so that an oversized run
    ends with ``out_of_memory`` and advice instead of being killed by the kernel.

    `warm_start_path` is the folder of the model that `warm_start` names: a PEFT LoRA adapter of the
    same base model (adapter_config.json, adapter_model.safetensors). The new adapter starts from
    its weights and takes its shape; a conflicting `lora` is rejected.

    Validation uses `validation_file`, or else the `validation_share` of the training rows that the
    trainer holds out: whole rows, chosen by the seed; rows that share a prompt stay together.
    `early_stopping` and `keep_best` (the final adapter is that of the evaluation with the lowest
    loss, or with `reinforcement` the highest reward) require one of the two. They make every
    evaluation score all validation rows, except with `reinforcement`, which always scores the same
    `eval_samples` rows.

    With `keeps_test_rows`, half of these rows are not scored: what is chosen by the other half is
    then judged on rows that had no part in the choice.

    `probe_rows` short rows, taken from the validation rows if there are any, are scored with and
    without the finished adapter, for comparison with the engine that serves it.

    Devices. A run that was planned for `device` ``"cuda"`` fails with ``gpu_unavailable`` instead
    of training on a CPU; None takes the GPU if there is one. With `gpus`, that many processes on
    one machine each compute a share of every batch. The result equals that of one process, except
    for rounding and for dropout, which each process draws independently. A checkpoint can be
    resumed with a different number of processes. With `sharding` ``"ddp"``, each device holds the
    whole base model. With ``"fsdp"``, each holds a part of it, which is slower and meant for models
    that do not fit on one device (host memory then holds `gpus` quantized copies during loading).
    `tokens_at_once` and `max_memory_bytes` apply per process. Without CUDA, the processes share the
    CPU, which is no faster. A process that waits longer than `rank_timeout_s` for the others ends
    the run.

    `template_date` is the date that a chat template prints when it asks for today's date, so that
    every attempt of a job renders the same text. None means the day (UTC) of the run.

    With `chat_budget_ms`, the training is paced: it rests while chats are in flight whose 95th
    percentile of latency, which the worker reports on stdin, exceeds the budget. The result is the
    same.

    With `inputs_on_host`, gradient checkpointing keeps the inputs of layers in the host's memory,
    with the same result. It is for rows whose inputs do not fit on the GPU.

    With `replay_windows`, states are kept beside the adapter that divide the run into that many
    parts, each of which can be computed again (`contract.replay`). With `replay_until`, this run is
    such a replay: it stops with a checkpoint of that step and scores no validation rows.

    `packing` puts several short examples into one row, where they cannot attend to each other.
    ``"auto"`` packs when batches of similar length would contain much padding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    job_id: str = Field(min_length=1, max_length=200)
    attempt: int = Field(default=1, ge=1)
    method: SpecMethod = "sft"
    hyperparameters: Resolved
    base_model: str = Field(min_length=1, max_length=200)
    base_model_path: Path
    training_file: Path
    mixture: tuple[MixedRows, ...] = ()
    validation_file: Path | None = None
    keeps_test_rows: bool = False
    output_dir: Path
    resume_from: Path | None = None
    warm_start_path: Path | None = None
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    template_date: date | None = None
    tokens_at_once: int | None = Field(default=None, ge=1)
    max_memory_bytes: int | None = Field(default=None, ge=2**20)
    n_checkpoints: int = Field(default=3, ge=1, le=1000)
    gradient_checkpointing: bool = False
    kept_layers: int = Field(default=0, ge=0)
    inputs_on_host: bool = False
    probe_rows: int = Field(default=0, ge=0, le=64)
    device: Literal["cuda", "cpu"] | None = None
    gpus: int = Field(default=1, ge=1, le=64)
    rank_timeout_s: float = Field(default=3600.0, gt=0)
    sharding: Sharding = "ddp"
    sampling: Sampling = "engine"
    chat_budget_ms: int | None = Field(default=None, ge=1)
    replay_windows: int = Field(default=0, ge=0, le=1000)
    replay_until: int | None = Field(default=None, ge=1)

    @field_validator("hyperparameters", mode="before")
    @classmethod
    def _of_the_method(cls, value: Any, info: ValidationInfo) -> Any:
        method = info.data.get("method")
        if method is None:
            return value
        fields = value.model_dump() if isinstance(value, BaseModel) else value
        try:
            return RESOLVED[BY_SPEC_NAME[method].name].model_validate(fields)
        except ValidationError as e:
            raise ValueError(describe_faults(e)) from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        chosen = self.hyperparameters
        if isinstance(chosen.lora.target_modules, tuple):
            check_modules(chosen.lora.target_modules)
        if not self.training_method.packs and chosen.packing is True:
            raise ValueError(
                f'samples of method "{self.method}" cannot be packed: '
                'set packing to false or "auto"'
            )
        if (self.inputs_on_host or self.kept_layers) and not self.gradient_checkpointing:
            raise ValueError("inputs_on_host and kept_layers need gradient_checkpointing")
        if chosen.batch_size < self.gpus:
            raise ValueError(
                f"a batch of {chosen.batch_size} cannot be shared by {self.gpus} GPUs: set gpus to "
                "at most batch_size"
            )
        if self.sharding == "fsdp" and self.gpus == 1:
            raise ValueError('sharding "fsdp" splits a model across GPUs: set gpus to 2 or more')
        if self.sampling == "trainer" and self.gpus > 1:
            raise ValueError(
                'sampling "trainer" generates on one GPU: set gpus to 1 or sampling to "engine"'
            )
        if chosen.longest_answer >= chosen.max_seq_length:
            raise ValueError(
                f"answers of {chosen.longest_answer} tokens leave no room for a prompt "
                f"within {chosen.max_seq_length}: set max_completion_tokens lower than "
                "max_seq_length"
            )
        if (chosen.warm_start is None) != (self.warm_start_path is None):
            raise ValueError("warm_start and warm_start_path belong together")
        if chosen.selects and self.validation_file is None and chosen.validation_share is None:
            raise ValueError(
                "early_stopping and keep_best need a validation_file or a validation_share"
            )
        return self

    def budget(self, device: str) -> int:
        """Return `tokens_at_once`, or the default for the device."""
        return self.tokens_at_once or tokens_at_once(device)

    @property
    def longest_row(self) -> int:
        """Maximum length in tokens of a row, which for `reinforcement` is a prompt."""
        return self.hyperparameters.max_seq_length - self.longest_answer

    @property
    def longest_answer(self) -> int:
        """Maximum length in tokens of a sampled answer; 0 if answers are in the rows."""
        return self.hyperparameters.longest_answer

    @property
    def selects(self) -> bool:
        """Whether evaluations decide when the run ends or which adapter it returns."""
        return self.hyperparameters.selects

    @property
    def training_method(self) -> TrainingMethod:
        """The entry of the method."""
        return BY_SPEC_NAME[self.method]


def describe_faults(error: ValidationError) -> str:
    """Describe each fault and its location, without the values."""
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'spec'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    )
