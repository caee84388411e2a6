"""Jobs on the wire: OpenAI's objects, with our own fields beside the standard ones."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.jobs.records import CheckpointRecord, EventRecord, JobRecord, Status

Auto = Literal["auto"]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraOptions(_Strict):
    """Shape of the adapter. What is left out is chosen by the service."""

    r: int | Auto = Field(default="auto", description="Rank.")
    alpha: int | Auto = Field(default="auto", description="Scale: alpha / r.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Of the adapter.")
    target_modules: Literal["all-linear"] | list[str] | None = Field(
        default=None, description='Names of modules; left out: "all-linear".'
    )
    use_dora: bool | None = Field(
        default=None, description="Refused here: the serving engine loads no DoRA adapter."
    )
    use_rslora: bool | None = Field(
        default=None, description="Scale by alpha / sqrt(r), which suits high ranks."
    )

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.r != "auto" and not 1 <= self.r <= 512:
            raise ValueError("lora.r must be from 1 to 512")
        if self.alpha != "auto" and not 1 <= self.alpha <= 4096:
            raise ValueError("lora.alpha must be from 1 to 4096")
        if self.use_dora:
            raise ValueError(
                "lora.use_dora makes adapters that the serving engine cannot load; leave it out"
            )
        if isinstance(self.target_modules, list) and not 1 <= len(self.target_modules) <= 32:
            raise ValueError("lora.target_modules must name 1 to 32 modules")
        return self


class EarlyStopping(_Strict):
    """End when the validation loss has not fallen for a while."""

    patience: int = Field(default=2, ge=1, le=100, description="Evaluations without a fall.")
    min_delta: float = Field(default=0.0, ge=0, le=10, description="What counts as a fall.")


class Hyperparameters(_Strict):
    """The standard three, and what we add."""

    batch_size: Annotated[int, Field(ge=1, le=256)] | Auto = Field(
        default="auto", description="Rows of a step."
    )
    learning_rate_multiplier: Annotated[float, Field(gt=0)] | Auto = Field(
        default="auto", description="Times the rate that suits the model."
    )
    n_epochs: Annotated[int, Field(ge=1, le=50)] | Auto = Field(
        default="auto", description="Rounds through the data."
    )
    # Ours.
    learning_rate: Annotated[float, Field(gt=0, le=1)] | Auto = Field(
        default="auto", description="Absolute; overrides learning_rate_multiplier."
    )
    lora: LoraOptions = LoraOptions()
    quantization: Literal["nf4", "none"] = Field(
        default="nf4",
        description="`nf4` is QLoRA: the base model in 4 bits. `none` is LoRA.",
    )
    max_seq_length: Annotated[int, Field(ge=64)] | Auto = Field(
        default="auto", description="Tokens at which a row is cut."
    )
    packing: bool | Auto = Field(default="auto", description="Several rows in one sequence.")
    warm_start: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="A trained model of the same base: the new adapter starts from its weights.",
    )
    validation_share: Annotated[float, Field(gt=0, le=0.5)] | None = Field(
        default=None,
        description="Of the training rows, where no validation file is given. With "
        "early_stopping or keep_best it is 0.1.",
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="End when it learns no more."
    )
    keep_best: bool = Field(
        default=False, description="The result is the checkpoint of the lowest validation loss."
    )


class DpoHyperparameters(Hyperparameters):
    """Those of supervised training, and beta."""

    beta: Annotated[float, Field(gt=0, le=2)] | Auto = Field(
        default="auto", description="How hard the model is held to its reference."
    )


class SupervisedMethod(_Strict):
    """Options of supervised fine-tuning."""

    hyperparameters: Hyperparameters = Hyperparameters()


class DpoMethod(_Strict):
    """Options of direct preference optimisation."""

    hyperparameters: DpoHyperparameters = DpoHyperparameters()


class Method(_Strict):
    """How to train: on chats, or on pairs of a preferred and another answer."""

    type: Literal["supervised", "dpo"] = Field(description="On chats, or on preferences.")
    supervised: SupervisedMethod | None = Field(default=None, description="For `supervised`.")
    dpo: DpoMethod | None = Field(default=None, description="For `dpo`.")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "reinforcement":
            raise ValueError("the method 'reinforcement' is not offered here; use 'dpo'")
        return value

    @model_validator(mode="after")
    def _options_of_the_type(self) -> Self:
        other = self.dpo if self.type == "supervised" else self.supervised
        if other is not None:
            raise ValueError(f"the type is '{self.type}'; give its options alone")
        return self

    @property
    def asked(self) -> Hyperparameters:
        """The hyperparameters of the type."""
        if self.type == "dpo":
            return (self.dpo or DpoMethod()).hyperparameters
        return (self.supervised or SupervisedMethod()).hyperparameters


class CreateJob(BaseModel):
    """Body of a job's creation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        min_length=1,
        max_length=256,
        examples=["smollm2-135m-instruct"],
        description="A base model of the catalogue.",
    )
    training_file: str = Field(
        min_length=1,
        max_length=128,
        examples=["file-abc123"],
        description="Checked, or still being checked.",
    )
    validation_file: str | None = Field(
        default=None, max_length=128, description="Rows to measure on."
    )
    suffix: str | None = Field(
        default=None, min_length=1, max_length=64, description="Part of the new model's name."
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        le=2147483647,
        description="Of all chance in the training; drawn where none is given.",
    )
    metadata: Metadata | None = Field(default=None, description="Yours, to find the job by.")
    method: Method | None = Field(
        default=None, description="How to train, and with what; supervised where nothing is said."
    )
    hyperparameters: Hyperparameters | None = Field(
        default=None,
        description="Deprecated by OpenAI in favour of `method`; still read.",
    )
    priority: int = Field(
        default=0, ge=-100, le=100, description="Higher runs first; ours, not OpenAI's."
    )
    integrations: None = Field(default=None, description="Always null: nothing leaves the server.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.method is not None and self.hyperparameters is not None:
            raise ValueError("give hyperparameters inside 'method' or at the top, not both")
        if self.validation_file is not None and self.asked.validation_share is not None:
            raise ValueError("give a validation_file or a validation_share, not both")
        return self

    @property
    def asked(self) -> Hyperparameters:
        """The hyperparameters, wherever they were given."""
        if self.method is not None:
            return self.method.asked
        return self.hyperparameters or Hyperparameters()


class JobError(BaseModel):
    """Why a job failed."""

    code: str = Field(description="The fault, for programs.")
    message: str = Field(description="What is wrong, where, and how to mend it.")
    param: str | None = Field(default=None, description="The parameter at fault.")


class StandardHyperparameters(BaseModel):
    """What OpenAI's job object shows at its top."""

    batch_size: int | Auto = Field(description="Rows of a step.")
    learning_rate_multiplier: float | Auto = Field(
        description="Times the rate that suits the model."
    )
    n_epochs: int | Auto = Field(description="Rounds through the data.")


class JobObject(BaseModel):
    """OpenAI's fine_tuning.job. `attempt` is ours: more than 1 after a recovery."""

    id: str = Field(description="`ftjob-` and letters.")
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int = Field(description="Seconds since 1970, UTC.")
    error: JobError | None = Field(description="Why it failed.")
    fine_tuned_model: str | None = Field(
        description="The name to chat with, when it has succeeded."
    )
    finished_at: int | None = Field(description="When it ended, however it did.")
    hyperparameters: StandardHyperparameters = Field(
        description="The standard ones; all of them are in `method`."
    )
    model: str = Field(description="The base model.")
    organization_id: str = Field(description="The project.")
    result_files: list[str] = Field(description="A CSV of losses, when it has ended.")
    seed: int = Field(description="Of all chance in the training.")
    status: Status = Field(description="How far it is.")
    pausing: bool = Field(
        default=False,
        description=(
            "Whether a running job was asked to pause and its checkpoint is not stored yet. Its "
            "status becomes `paused` when it is."
        ),
    )
    trained_tokens: int | None = Field(description="When it has succeeded.")
    training_file: str = Field(description="What it learns from.")
    validation_file: str | None = Field(description="What it is measured on.")
    estimated_finish: int | None = Field(description="When it should end, where that can be told.")
    integrations: list[Any] | None = Field(default=None, description="Always null.")
    metadata: dict[str, str] | None = Field(description="Yours.")
    method: dict[str, Any] = Field(description="How it trains, with every hyperparameter.")
    suffix: str | None = Field(description="Part of the model's name.")
    attempt: int = Field(description="More than 1 after a recovery.")
    priority: int = Field(default=0, description="Higher runs first.")
    queue_position: int | None = Field(
        default=None,
        description="1 for the job that a GPU worker takes next; null unless the job is queued.",
    )

    @classmethod
    def of(cls, job: JobRecord, queue_position: int | None = None) -> Self:
        """The wire form of a record."""
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
                job.method: {"hyperparameters": _shown(job)},
            },
            suffix=job.suffix,
            attempt=job.attempt,
            priority=job.priority,
            queue_position=queue_position,
        )


def _shown(job: JobRecord) -> dict[str, Any]:
    shown = job.hyperparameters.model_dump(mode="json")
    return shown if job.method == "dpo" else {k: v for k, v in shown.items() if k != "beta"}


class EventObject(BaseModel):
    """One line of a job's story."""

    id: str = Field(description="`ftevent-` and numbers; for `after` and `Last-Event-ID`.")
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int = Field(description="Seconds since 1970, UTC.")
    level: Literal["info", "warn", "error"] = Field(description="How grave it is.")
    message: str = Field(description="For people.")
    type: Literal["message", "metrics"] = Field(
        description="`metrics`: `data` has figures of a step."
    )
    data: dict[str, Any] = Field(description="For programs.")

    @classmethod
    def of(cls, event: EventRecord) -> Self:
        """The wire form of a record."""
        return cls.model_validate(event.model_dump())


class CheckpointMetrics(BaseModel):
    """What was measured when the checkpoint was made."""

    step: float | None = None
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    # Of DPO: shares of pairs whose preferred answer gained more, and by how many nats.
    train_reward_accuracy: float | None = None
    train_reward_margin: float | None = None
    valid_reward_accuracy: float | None = None
    valid_reward_margin: float | None = None
    full_valid_reward_accuracy: float | None = None
    full_valid_reward_margin: float | None = None


class CheckpointObject(BaseModel):
    """A model saved on the way; it can be chatted with by its name."""

    id: str = Field(description="`ftckpt_` and letters.")
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int = Field(description="Seconds since 1970, UTC.")
    fine_tuned_model_checkpoint: str = Field(description="The name to chat with.")
    fine_tuning_job_id: str = Field(description="Whose checkpoint it is.")
    step_number: int = Field(description="Steps that were trained.")
    metrics: CheckpointMetrics = Field(description="What was measured there.")

    @classmethod
    def of(cls, record: CheckpointRecord) -> Self:
        """The wire form of a record."""
        return cls(
            id=record.id,
            created_at=record.created_at,
            fine_tuned_model_checkpoint=record.model,
            fine_tuning_job_id=record.job_id,
            step_number=record.step,
            metrics=CheckpointMetrics.model_validate(record.metrics),
        )
