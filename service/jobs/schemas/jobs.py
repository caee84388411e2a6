"""Fine-tuning job, as the API shows it."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.metric_series import Series
from service.jobs.records import CheckpointRecord, EventRecord, JobRecord, Status
from service.jobs.schemas.create import MlflowIntegrationObject
from service.models.aliases.schemas import GATE_EXAMPLE
from service.training.contract import hyperparameters as contract
from service.training.contract.hyperparameters import Auto


class JobError(BaseModel):
    """Reason why a job failed."""

    code: str = Field(description="Machine-readable error code.")
    message: str = Field(description="Error message: what is wrong, where, and how to fix it.")
    param: str | None = Field(
        default=None, description="Name of the parameter that caused the error."
    )


class StandardHyperparameters(contract.StandardHyperparameters[Auto]):
    """Hyperparameters at the top level of OpenAI's job object."""

    model_config = ConfigDict(extra="ignore", json_schema_serialization_defaults_required=True)


class MixedFileObject(BaseModel):
    """A file whose rows are mixed with those of the training file of a job."""

    file: str = Field(description="ID of the file.", examples=["file-abc123"])
    weight: float = Field(description="Number of times that an epoch draws each row of the file.")


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
    mixed_files: list[MixedFileObject] = Field(
        default=[],
        description="Files whose rows are mixed with those of the training file; empty if there "
        "are none.",
    )
    estimated_finish: int | None = Field(
        description="Estimated end of the training, in Unix seconds. Null if unknown."
    )
    integrations: list[MlflowIntegrationObject] | None = Field(
        default=None, description="Integrations of the job. Null if there are none."
    )
    metadata: dict[str, str] | None = Field(
        description="Key-value pairs that were set when the job was created."
    )
    method: dict[str, Any] = Field(description="Training method with all of its hyperparameters.")
    suffix: str | None = Field(description="Suffix in the name of the fine-tuned model.")
    user_provided_suffix: str | None = Field(description="The same suffix, under OpenAI's name.")
    attempt: int = Field(
        description="Number of the current attempt, starting at 1. It increases when the job is "
        "recovered or resumed."
    )
    priority: int = Field(default=0, description="Priority of the job. Higher values run first.")
    gate: dict[str, str] = Field(
        default={},
        description="Conditions that the evaluation of the job must meet; empty if there are none.",
        examples=[GATE_EXAMPLE],
    )
    baseline_prompt: str | None = Field(
        default=None,
        description="Your own prompt, with which the evaluation compares the model; null if none.",
    )
    queue_position: int | None = Field(
        default=None,
        description="Position in the queue; 1 is the job that a GPU worker takes next. Null unless "
        "the job is queued.",
    )

    @classmethod
    def from_record(cls, job: JobRecord, queue_position: int | None = None) -> Self:
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
            mixed_files=[MixedFileObject(**mixed.model_dump()) for mixed in job.mixed_files],
            estimated_finish=job.estimated_finish,
            integrations=(
                None
                if job.mlflow_run is None
                else [MlflowIntegrationObject.from_record(job.mlflow_run)]
            ),
            metadata=job.metadata,
            method={
                "type": job.method,
                job.method: {
                    **({} if job.grader is None else {"grader": job.grader}),
                    "hyperparameters": chosen.model_dump(mode="json"),
                },
            },
            suffix=job.suffix,
            user_provided_suffix=job.suffix,
            attempt=job.attempt,
            priority=job.priority,
            gate=job.gate,
            baseline_prompt=job.baseline_prompt,
            queue_position=queue_position,
        )


class CheckpointMetrics(BaseModel):
    """Metrics of a checkpoint, measured when it was saved."""

    step: float | None = Field(
        default=None, description="Training step at which the checkpoint was saved."
    )
    train_loss: float | None = Field(default=None, description="Training loss of the step.")
    train_mean_token_accuracy: float | None = Field(
        default=None, description="Share of the training tokens that the model predicts correctly."
    )
    valid_loss: float | None = Field(
        default=None, description="Loss on a sample of the validation rows."
    )
    valid_mean_token_accuracy: float | None = Field(
        default=None, description="Token accuracy on a sample of the validation rows."
    )
    full_valid_loss: float | None = Field(default=None, description="Loss on all validation rows.")
    full_valid_mean_token_accuracy: float | None = Field(
        default=None, description="Token accuracy on all validation rows."
    )
    # Mean rewards of answers, with the method reinforcement only.
    train_reward_mean: float | None = Field(
        default=None,
        description="Mean reward of the answers to training prompts. Only for reinforcement.",
    )
    valid_reward_mean: float | None = Field(
        default=None,
        description="Mean reward of the answers to validation prompts. Only for reinforcement.",
    )
    # DPO and KTO only. An accuracy is a share from 0 to 1; a margin is in nats, times beta.
    train_reward_accuracy: float | None = Field(
        default=None,
        description="Share of the training pairs in which the preferred answer has the higher "
        "reward. Only for DPO and KTO.",
    )
    train_reward_margin: float | None = Field(
        default=None,
        description="Mean difference of the rewards of preferred and other answers, in nats "
        "times `beta`. Only for DPO and KTO.",
    )
    valid_reward_accuracy: float | None = Field(
        default=None,
        description="Reward accuracy on a sample of the validation rows. Only for DPO and KTO.",
    )
    valid_reward_margin: float | None = Field(
        default=None,
        description="Reward margin on a sample of the validation rows. Only for DPO and KTO.",
    )
    full_valid_reward_accuracy: float | None = Field(
        default=None, description="Reward accuracy on all validation rows. Only for DPO and KTO."
    )
    full_valid_reward_margin: float | None = Field(
        default=None, description="Reward margin on all validation rows. Only for DPO and KTO."
    )


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
    def from_record(cls, record: CheckpointRecord) -> Self:
        """Build the API object from a record."""
        return cls(
            id=record.id,
            created_at=record.created_at,
            fine_tuned_model_checkpoint=record.model,
            fine_tuning_job_id=record.job_id,
            step_number=record.step,
            metrics=CheckpointMetrics.model_validate(record.metrics),
        )


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
    def from_record(cls, event: EventRecord) -> Self:
        """Build the API object from a record."""
        return cls.model_validate(event.model_dump())


class MetricSeriesObject(BaseModel):
    """A metric by step, in buckets. All lists have one value per bucket, in the order of steps.
    Buckets in which the metric was not measured are left out.
    """

    step: list[int] = Field(
        description="The last step in each bucket for which the metric is known."
    )
    min: list[float] = Field(description="Lowest value in each bucket.")
    max: list[float] = Field(description="Highest value in each bucket.")
    mean: list[float] = Field(description="Mean of the steps in each bucket.")
    last: list[float] = Field(description="Value at the last step in each bucket.")

    @classmethod
    def from_series(cls, series: Series) -> Self:
        """Build the API object of a series."""
        return cls(
            step=series.steps,
            min=series.lowest,
            max=series.highest,
            mean=series.mean,
            last=series.last,
        )


class JobMetricsObject(BaseModel):
    """Metrics of a job by step, in buckets that keep every extreme."""

    object: Literal["fine_tuning.job.metrics"] = "fine_tuning.job.metrics"
    job_id: str = Field(description="ID of the job.", examples=["ftjob-abc123"])
    first_step: int | None = Field(
        description="First step in the range that has metrics. Null if none has."
    )
    last_step: int | None = Field(
        description="Last step in the range that has metrics. Null if none has."
    )
    steps_per_bucket: int = Field(description="Number of steps that each bucket covers.")
    metrics: dict[str, MetricSeriesObject] = Field(
        description="The series of each metric that was measured, by name."
    )
