"""Declares the hyperparameters of each training method once, with their limits.

Every class is generic in `A`, the type that a field may have besides its value. With `Auto`, it is
the requested form: what requests contain and records store. With `Never`, it is the resolved form,
which the trainer receives: every field of type ``… | A`` then has a value.

A field of type ``… | Auto`` may be `auto` in both forms, because the trainer chooses its value from
the rows, or takes it from the adapter that it starts from. "Up to" in a description is a limit of
the API alone (`jobs/schemas/methods.py`). This module imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Generic, Literal, Never, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.training.contract.methods import METHODS, MethodName

_MODULE_NAME: Final = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
# vLLM cannot serve adapters on these modules, so they are not trained.
EMBEDDING_NAMES: Final = frozenset(
    {"lm_head", "embed_tokens", "embed_in", "embed_out", "wte", "wpe", "output_layer"}
)
_DEFAULT_RANK: Final = 16
RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM accepts for --max-lora-rank."""
_Modules = Annotated[tuple[str, ...], Field(strict=False)]  # JSON has lists


class LoraOptions(BaseModel):
    """LoRA options as requested.

    With a warm start, an omitted option takes the value of the adapter that training starts from.
    `dropout` costs time on a CPU (0.05 took 15% of a step on SmolLM2-135M); DPO and KTO do not use
    it. `use_rslora` reaches vLLM through adapter_config.json. There is no DoRA, because vLLM (0.32)
    refuses to load such an adapter.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    r: int | Literal["auto"] = Field(
        default="auto",
        description="LoRA rank, 1 to 512. The serving engine may have a lower limit.",
    )
    alpha: int | Literal["auto"] = Field(
        default="auto",
        description="LoRA alpha, 1 to 4096. The adapter is scaled by alpha / r.",
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout probability of the adapter."
    )
    target_modules: Literal["all-linear"] | _Modules | None = Field(
        default=None,
        description='Names of the modules to adapt, up to 32. Defaults to `"all-linear"`.',
    )
    use_rslora: bool | None = Field(
        default=None,
        description="Whether to scale the adapter by alpha / sqrt(r) instead of alpha / r. "
        "Suits high ranks.",
    )

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.r != "auto" and not 1 <= self.r <= 512:
            raise ValueError("lora.r must be from 1 to 512")
        if self.alpha != "auto" and not 1 <= self.alpha <= 4096:
            raise ValueError("lora.alpha must be from 1 to 4096")
        if isinstance(self.target_modules, tuple) and not 1 <= len(self.target_modules) <= 32:
            raise ValueError("lora.target_modules must name 1 to 32 modules")
        return self

    def to_shape(self) -> LoraShape:
        """Return the shape of a fresh adapter with these options."""
        rank = _DEFAULT_RANK if self.r == "auto" else self.r
        alpha = 2.0 * rank if self.alpha == "auto" else float(self.alpha)
        given = self.model_dump(exclude={"r", "alpha"}, exclude_none=True)
        return LoraShape(r=rank, alpha=alpha, **given)


class LoraShape(BaseModel):
    """Shape of an adapter. The defaults are those of a fresh one."""

    # Checkpoints of 0.2 have `use_dora`, which was always false.
    model_config = ConfigDict(frozen=True, extra="ignore")

    r: int
    alpha: float
    dropout: float
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    use_rslora: bool = False


def highest_rank(config: Mapping[str, Any]) -> int:
    """Return the highest rank in an adapter's configuration (adapter_config.json)."""
    return int(max([config["r"], *(config.get("rank_pattern") or {}).values()]))


def check_modules(names: Iterable[str]) -> None:
    """Check that an adapter on these modules can be served. Raises ValueError."""
    for name in names:
        if not _MODULE_NAME.fullmatch(name):
            raise ValueError("a module name can contain only letters, digits, '_' and '.'")
        if name.rpartition(".")[2] in EMBEDDING_NAMES:
            raise ValueError("embeddings and the output head cannot be served as an adapter")


Auto = Literal["auto"]
Quantization = Literal["nf4", "none"]
A = TypeVar("A")


def _auto(description: str) -> Any:
    """Declare a field that is `auto` by default, and therefore required in the resolved form."""
    return Field(default="auto", validate_default=True, description=description)


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class EarlyStopping(_Options):
    """Early-stopping rule: training ends when the validation loss stops falling."""

    patience: int = Field(
        default=2,
        ge=1,
        le=100,
        description="Number of consecutive evaluations without improvement before training stops.",
    )
    min_delta: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Minimum decrease of the validation loss that counts as an improvement.",
    )


class StandardHyperparameters(_Options, Generic[A]):
    """Hyperparameters of OpenAI's API."""

    batch_size: Annotated[int, Field(ge=1, le=256)] | A = _auto("Number of rows per training step.")
    learning_rate_multiplier: Annotated[float, Field(gt=0, allow_inf_nan=False)] | A = _auto(
        "Multiplier for the default learning rate of the model."
    )
    n_epochs: Annotated[int, Field(ge=1, le=50)] | A = _auto(
        "Number of passes over the training data."
    )


class SupervisedHyperparameters(StandardHyperparameters[A], Generic[A]):
    """Hyperparameters of supervised fine-tuning, which every method has."""

    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | A = _auto(
        "Learning rate, up to 1. Overrides `learning_rate_multiplier`."
    )
    lora: LoraOptions = LoraOptions()
    quantization: Quantization = Field(
        default="nf4",
        description="Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA).",
    )
    max_seq_length: Annotated[int, Field(ge=64)] | A = _auto(
        "Maximum row length in tokens. Longer rows are truncated."
    )
    packing: bool | Auto = _auto("Whether to pack several rows into one sequence.")
    warm_start: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Fine-tuned model whose adapter weights training starts from. It must have the "
        "same base model.",
    )
    validation_share: Annotated[float, Field(gt=0, le=0.5)] | None = Field(
        default=None,
        description="Share of the training rows to hold out for validation. Cannot be combined "
        "with `validation_file`. Defaults to 0.1 if `early_stopping` or `keep_best` is set and "
        "there is no validation file.",
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="Early-stopping rule. Disabled if omitted."
    )
    keep_best: bool = Field(
        default=False,
        description="If true, the fine-tuned model is the checkpoint with the lowest validation "
        "loss instead of the last one.",
    )

    @property
    def selects(self) -> bool:
        """Whether the validation loss decides when the run ends or which adapter it returns."""
        return self.early_stopping is not None or self.keep_best

    @property
    def answers_per_row(self) -> int:
        """Number of samples that a row becomes, which differ by their answers."""
        return 1

    @property
    def longest_answer(self) -> int:
        """Maximum length in tokens of a sampled answer; 0 if the answers are in the rows."""
        return 0


class DpoHyperparameters(SupervisedHyperparameters[A], Generic[A]):
    """DPO hyperparameters: the supervised ones plus `beta`."""

    beta: Annotated[float, Field(gt=0, le=2)] | A = _auto(
        "DPO beta. Higher values keep the model closer to the reference model."
    )


class KtoHyperparameters(SupervisedHyperparameters[A], Generic[A]):
    """KTO hyperparameters: the supervised ones plus `beta` and the weights of the two labels."""

    batch_size: Annotated[int, Field(ge=METHODS["kto"].least_batch_size, le=256)] | A = _auto(
        "Rows per step, at least 2, because KTO compares the answers in a batch."
    )
    beta: Annotated[float, Field(gt=0, le=2)] | A = _auto(
        "KTO beta. Higher values keep the model closer to the reference model."
    )
    desirable_weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Auto = _auto(
        "Weight of each good answer in the loss, up to 100. `auto` balances good and bad answers."
    )
    undesirable_weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] | Auto = _auto(
        "Weight of each bad answer in the loss, up to 100. `auto` balances good and bad answers."
    )


class PretrainingHyperparameters(SupervisedHyperparameters[A], Generic[A]):
    """Hyperparameters of continued pre-training: those of supervised fine-tuning."""

    max_seq_length: Annotated[int, Field(ge=64)] | A = _auto(
        "Maximum sample length in tokens. Longer texts are cut into several samples, and longer "
        "chats are truncated."
    )


class ReinforcementHyperparameters(SupervisedHyperparameters[A], Generic[A]):
    """Hyperparameters of reinforcement fine-tuning: the supervised ones, and those of sampling."""

    batch_size: Annotated[int, Field(ge=1, le=256)] | A = _auto(
        "Number of prompts per training step. Each is answered `group_size` times."
    )
    max_seq_length: Annotated[int, Field(ge=64)] | A = _auto(
        "Maximum length of a prompt and its answer in tokens. Prompts that leave no room for "
        "`max_completion_tokens` are dropped."
    )
    eval_interval: Annotated[int, Field(ge=1)] | Auto = _auto(
        "Number of training steps between evaluations. `auto` evaluates at each checkpoint."
    )
    eval_samples: Annotated[int, Field(ge=1, le=1000)] | Auto = _auto(
        "Number of validation rows that each evaluation answers, once each. `auto` is 64, or all "
        "rows if there are fewer."
    )
    group_size: int = Field(
        default=8,
        ge=2,
        le=64,
        description="Number of answers to each prompt, which are compared with each other.",
    )
    temperature: float = Field(
        default=1.0,
        ge=0.1,
        le=2,
        description="Sampling temperature of the answers. It must be high enough that the answers "
        "to a prompt differ, because training learns from the differences between "
        "their scores.",
    )
    max_completion_tokens: int = Field(
        default=512, ge=1, le=32_768, description="Maximum length of an answer in tokens."
    )
    beta: Annotated[float, Field(ge=0, le=2)] | A = _auto(
        "Weight of the divergence from the reference model in the loss. Higher values keep the "
        "model closer to it. `auto` is 0, which needs no reference."
    )
    early_stopping: EarlyStopping | None = Field(
        default=None,
        description="Early-stopping rule: training ends when the mean reward of the validation "
        "rows stops rising. Disabled if omitted.",
    )
    keep_best: bool = Field(
        default=False,
        description="If true, the fine-tuned model is the checkpoint with the highest mean reward "
        "of the validation rows instead of the last one.",
    )

    @property
    def answers_per_row(self) -> int:
        return self.group_size

    @property
    def longest_answer(self) -> int:
        return self.max_completion_tokens


Requested: TypeAlias = (
    SupervisedHyperparameters[Auto]
    | DpoHyperparameters[Auto]
    | KtoHyperparameters[Auto]
    | PretrainingHyperparameters[Auto]
    | ReinforcementHyperparameters[Auto]
)
Resolved: TypeAlias = (
    SupervisedHyperparameters[Never]
    | DpoHyperparameters[Never]
    | KtoHyperparameters[Never]
    | PretrainingHyperparameters[Never]
    | ReinforcementHyperparameters[Never]
)

_CLASSES: Final[Mapping[MethodName, Any]] = {
    "supervised": SupervisedHyperparameters,
    "dpo": DpoHyperparameters,
    "kto": KtoHyperparameters,
    "pretraining": PretrainingHyperparameters,
    "reinforcement": ReinforcementHyperparameters,
}
REQUESTED: Final[Mapping[MethodName, type[Requested]]] = MappingProxyType(
    {name: declared[Auto] for name, declared in _CLASSES.items()}
)
RESOLVED: Final[Mapping[MethodName, type[Resolved]]] = MappingProxyType(
    {name: declared[Never] for name, declared in _CLASSES.items()}
)
