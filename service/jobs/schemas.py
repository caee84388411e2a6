"""API schemas for fine-tuning jobs: OpenAI's objects plus additional fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.jobs.records import CheckpointRecord, Chosen, EventRecord, JobRecord, Status
from service.training.contract.methods import METHODS, MethodName

Auto = Literal["auto"]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraOptions(_Strict):
    """LoRA adapter options. The service chooses a value for each omitted option."""

    r: int | Auto = Field(
        default="auto",
        description="LoRA rank, 1 to 512. The serving engine may have a lower limit.",
    )
    alpha: int | Auto = Field(
        default="auto",
        description="LoRA alpha, 1 to 4096. The adapter is scaled by alpha / r.",
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout probability of the adapter."
    )
    target_modules: Literal["all-linear"] | list[str] | None = Field(
        default=None,
        description='Names of the modules to adapt, up to 32. Defaults to `"all-linear"`.',
    )
    use_dora: bool | None = Field(
        default=None,
        description="Whether to use DoRA. True is rejected because the serving engine cannot "
        "load DoRA adapters.",
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
        if self.use_dora:
            raise ValueError(
                "lora.use_dora makes adapters that the serving engine cannot load; omit it"
            )
        if isinstance(self.target_modules, list) and not 1 <= len(self.target_modules) <= 32:
            raise ValueError("lora.target_modules must name 1 to 32 modules")
        return self


class EarlyStopping(_Strict):
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


class Hyperparameters(_Strict):
    """Training hyperparameters: OpenAI's three standard ones and this service's additions."""

    batch_size: Annotated[int, Field(ge=1, le=256)] | Auto = Field(
        default="auto", description="Number of rows per training step."
    )
    learning_rate_multiplier: Annotated[float, Field(gt=0)] | Auto = Field(
        default="auto", description="Multiplier for the default learning rate of the model."
    )
    n_epochs: Annotated[int, Field(ge=1, le=50)] | Auto = Field(
        default="auto", description="Number of passes over the training data."
    )
    # Not in OpenAI's API.
    learning_rate: Annotated[float, Field(gt=0, le=1)] | Auto = Field(
        default="auto", description="Learning rate. Overrides `learning_rate_multiplier`."
    )
    lora: LoraOptions = LoraOptions()
    quantization: Literal["nf4", "none"] = Field(
        default="nf4",
        description="Base model quantization: `nf4` (QLoRA, 4-bit weights) or `none` (LoRA).",
    )
    max_seq_length: Annotated[int, Field(ge=64)] | Auto = Field(
        default="auto", description="Maximum row length in tokens. Longer rows are truncated."
    )
    packing: bool | Auto = Field(
        default="auto", description="Whether to pack several rows into one sequence."
    )
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


class DpoHyperparameters(Hyperparameters):
    """DPO hyperparameters: the supervised ones plus `beta`."""

    beta: Annotated[float, Field(gt=0, le=2)] | Auto = Field(
        default="auto",
        description="DPO beta. Higher values keep the model closer to the reference model.",
    )


class KtoHyperparameters(Hyperparameters):
    """KTO hyperparameters: the supervised ones plus `beta` and the weights of the two labels."""

    batch_size: Annotated[int, Field(ge=2, le=256)] | Auto = Field(
        default="auto",
        description="Rows per step, at least 2, because KTO compares the answers in a batch.",
    )
    beta: Annotated[float, Field(gt=0, le=2)] | Auto = Field(
        default="auto",
        description="KTO beta. Higher values keep the model closer to the reference model.",
    )
    desirable_weight: Annotated[float, Field(gt=0, le=100)] | Auto = Field(
        default="auto",
        description="Weight of each good answer in the loss. `auto` balances good and bad answers.",
    )
    undesirable_weight: Annotated[float, Field(gt=0, le=100)] | Auto = Field(
        default="auto",
        description="Weight of each bad answer in the loss. `auto` balances good and bad answers.",
    )


class SupervisedMethod(_Strict):
    """Options of supervised fine-tuning."""

    hyperparameters: Hyperparameters = Hyperparameters()


class DpoMethod(_Strict):
    """Options of direct preference optimization."""

    hyperparameters: DpoHyperparameters = DpoHyperparameters()


class KtoMethod(_Strict):
    """Options of Kahneman-Tversky optimization."""

    hyperparameters: KtoHyperparameters = KtoHyperparameters()


HYPERPARAMETERS: Mapping[MethodName, type[Hyperparameters]] = {
    "supervised": Hyperparameters,
    "dpo": DpoHyperparameters,
    "kto": KtoHyperparameters,
}


class Method(_Strict):
    """Training method: supervised on chats, DPO on pairs of answers, or KTO on labeled answers."""

    type: MethodName = Field(
        description="Training method: `supervised` (on chats), `dpo` (on preferences), or `kto` "
        "(on labeled answers)."
    )
    supervised: SupervisedMethod | None = Field(
        default=None, description="Options for the `supervised` method."
    )
    dpo: DpoMethod | None = Field(default=None, description="Options for the `dpo` method.")
    kto: KtoMethod | None = Field(default=None, description="Options for the `kto` method.")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "reinforcement":
            raise ValueError("the method 'reinforcement' is not supported; use 'dpo' or 'kto'")
        return value

    @model_validator(mode="after")
    def _options_of_the_type(self) -> Self:
        if any(getattr(self, name) is not None for name in METHODS if name != self.type):
            raise ValueError(f"the type is '{self.type}'; give only its options")
        return self

    @property
    def asked(self) -> Hyperparameters:
        """The hyperparameters of the selected method."""
        options = getattr(self, self.type)
        return HYPERPARAMETERS[self.type]() if options is None else options.hyperparameters


class CreateJob(BaseModel):
    """Request body for creating a fine-tuning job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        min_length=1,
        max_length=256,
        examples=["smollm2-135m-instruct"],
        description="ID of the base model from the catalog.",
    )
    training_file: str = Field(
        min_length=1,
        max_length=128,
        examples=["file-abc123"],
        description="ID of the training file. The file may still be processing.",
    )
    validation_file: str | None = Field(
        default=None,
        max_length=128,
        description="ID of the validation file, whose rows are used to measure the model.",
    )
    suffix: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Suffix to include in the name of the fine-tuned model.",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        le=2147483647,
        description="Random seed of the training. Generated if omitted.",
    )
    metadata: Metadata | None = Field(
        default=None,
        description="Key-value pairs for filtering; up to 16. Keys have up to 64 characters, "
        "values up to 512.",
    )
    method: Method | None = Field(
        default=None,
        description="Training method and its hyperparameters. Defaults to `supervised`.",
    )
    hyperparameters: Hyperparameters | None = Field(
        default=None,
        description="Hyperparameters of supervised training. Deprecated by OpenAI in favor of "
        "`method`, but still accepted.",
    )
    priority: int = Field(
        default=0,
        ge=-100,
        le=100,
        description="Priority of the job. Higher values run first. Not part of OpenAI's API.",
    )
    integrations: None = Field(
        default=None,
        description="Integrations, which must be null: no data leaves the server.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.method is not None and self.hyperparameters is not None:
            raise ValueError("give hyperparameters inside 'method' or at the top, not both")
        if self.validation_file is not None and self.asked.validation_share is not None:
            raise ValueError("give a validation_file or a validation_share, not both")
        return self

    @property
    def asked(self) -> Hyperparameters:
        """The hyperparameters, from `method` or from the top level."""
        if self.method is not None:
            return self.method.asked
        return self.hyperparameters or Hyperparameters()


class JobError(BaseModel):
    """Reason why a job failed."""

    code: str = Field(description="Machine-readable error code.")
    message: str = Field(description="Error message: what is wrong, where, and how to fix it.")
    param: str | None = Field(
        default=None, description="Name of the parameter that caused the error."
    )


class StandardHyperparameters(BaseModel):
    """Hyperparameters at the top level of OpenAI's job object."""

    batch_size: int | Auto = Field(description="Number of rows per training step.")
    learning_rate_multiplier: float | Auto = Field(
        description="Multiplier for the default learning rate of the model."
    )
    n_epochs: int | Auto = Field(description="Number of passes over the training data.")


class JobObject(BaseModel):
    """A fine-tuning job: OpenAI's `fine_tuning.job` object plus additional fields."""

    id: str = Field(description="ID of the job. Starts with `ftjob-`.")
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int = Field(description="Creation time, in Unix seconds.")
    error: JobError | None = Field(
        description="Error that made the job fail. Null if it has not failed."
    )
    fine_tuned_model: str | None = Field(
        description="Name of the fine-tuned model. Null until the job succeeds."
    )
    finished_at: int | None = Field(
        description="Time at which the job succeeded, failed or was cancelled, in Unix seconds. "
        "Null until then."
    )
    hyperparameters: StandardHyperparameters = Field(
        description="OpenAI's standard hyperparameters. `method` has all hyperparameters."
    )
    model: str = Field(description="ID of the base model.")
    organization_id: str = Field(description="ID of the project.")
    result_files: list[str] = Field(
        description="IDs of the result files: one CSV file of losses by step. Empty until the "
        "job succeeds."
    )
    seed: int = Field(description="Random seed of the training.")
    status: Status = Field(description="Current status of the job.")
    pausing: bool = Field(
        default=False,
        description=(
            "Whether a running job is about to pause. Its status becomes `paused` once its "
            "checkpoint is stored."
        ),
    )
    trained_tokens: int | None = Field(
        description="Number of tokens trained so far. Null until the training reports progress."
    )
    training_file: str = Field(description="ID of the training file.")
    validation_file: str | None = Field(description="ID of the validation file.")
    estimated_finish: int | None = Field(
        description="Estimated end of the training, in Unix seconds. Null if unknown."
    )
    integrations: list[Any] | None = Field(
        default=None, description="Integrations, which are always null."
    )
    metadata: dict[str, str] | None = Field(
        description="Key-value pairs that were set when the job was created."
    )
    method: dict[str, Any] = Field(description="Training method with all of its hyperparameters.")
    suffix: str | None = Field(description="Suffix in the name of the fine-tuned model.")
    attempt: int = Field(
        description="Number of the current attempt, starting at 1. It increases when the job is "
        "recovered or resumed."
    )
    priority: int = Field(default=0, description="Priority of the job. Higher values run first.")
    queue_position: int | None = Field(
        default=None,
        description="Position in the queue; 1 is the job that a GPU worker takes next. Null unless "
        "the job is queued.",
    )

    @classmethod
    def of(cls, job: JobRecord, queue_position: int | None = None) -> Self:
        """Build the API object from a record."""
        chosen = job.hyperparameters
        return cls(
            id=job.id,
            created_at=job.created_at,
            error=None if job.error is None else JobError(**job.error.model_dump()),
            fine_tuned_model=job.fine_tuned_model,
            finished_at=job.finished_at,
            hyperparameters=StandardHyperparameters.model_validate(chosen, from_attributes=True),
            model=job.model,
            organization_id=job.project_id,
            result_files=list(job.result_files),
            seed=job.seed,
            status=job.status,
            pausing=job.pausing,
            trained_tokens=job.trained_tokens,
            training_file=job.training_file,
            validation_file=job.validation_file,
            estimated_finish=job.estimated_finish,
            metadata=job.metadata,
            method={
                "type": job.method,
                job.method: {"hyperparameters": shown(job.method, job.hyperparameters)},
            },
            suffix=job.suffix,
            attempt=job.attempt,
            priority=job.priority,
            queue_position=queue_position,
        )


def shown(method: MethodName, chosen: Chosen) -> dict[str, Any]:
    """The hyperparameters that the method has, as JSON values."""
    return chosen.model_dump(mode="json", include=set(HYPERPARAMETERS[method].model_fields))


class EventObject(BaseModel):
    """An event of a fine-tuning job."""

    id: str = Field(
        description="ID of the event, for use in `after` and `Last-Event-ID`. Starts with "
        "`ftevent-`."
    )
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int = Field(description="Creation time, in Unix seconds.")
    level: Literal["info", "warn", "error"] = Field(description="Severity of the event.")
    message: str = Field(description="Human-readable message.")
    type: Literal["message", "metrics"] = Field(
        description="Type of the event. In a `metrics` event, `data` has the metrics of a step."
    )
    data: dict[str, Any] = Field(description="Machine-readable details of the event.")

    @classmethod
    def of(cls, event: EventRecord) -> Self:
        """Build the API object from a record."""
        return cls.model_validate(event.model_dump())


class CheckpointMetrics(BaseModel):
    """Metrics of a checkpoint, measured when it was saved."""

    step: float | None = None
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    # DPO and KTO only. An accuracy is a share from 0 to 1; a margin is in nats, times beta.
    train_reward_accuracy: float | None = None
    train_reward_margin: float | None = None
    valid_reward_accuracy: float | None = None
    valid_reward_margin: float | None = None
    full_valid_reward_accuracy: float | None = None
    full_valid_reward_margin: float | None = None


class CheckpointObject(BaseModel):
    """A checkpoint: a model saved during training, which can serve inference requests."""

    id: str = Field(description="ID of the checkpoint. Starts with `ftckpt_`.")
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int = Field(description="Creation time, in Unix seconds.")
    fine_tuned_model_checkpoint: str = Field(
        description="Name of the model to use in inference requests."
    )
    fine_tuning_job_id: str = Field(description="ID of the job that created the checkpoint.")
    step_number: int = Field(description="Number of training steps before the checkpoint.")
    metrics: CheckpointMetrics = Field(description="Metrics measured at the checkpoint.")

    @classmethod
    def of(cls, record: CheckpointRecord) -> Self:
        """Build the API object from a record."""
        return cls(
            id=record.id,
            created_at=record.created_at,
            fine_tuned_model_checkpoint=record.model,
            fine_tuning_job_id=record.job_id,
            step_number=record.step,
            metrics=CheckpointMetrics.model_validate(record.metrics),
        )
