"""Checkpoint of a fine-tuning job."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field

from service.jobs.records import CheckpointRecord


class CheckpointMetrics(BaseModel):
    """Metrics of a checkpoint, measured when it was saved."""

    step: float | None = None
    train_loss: float | None = None
    train_mean_token_accuracy: float | None = None
    valid_loss: float | None = None
    valid_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    # Mean rewards of answers, with the method reinforcement only.
    train_reward_mean: float | None = None
    valid_reward_mean: float | None = None
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
