"""Estimate of a fine-tuning job, as the API shows it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from service.jobs.planning.job_plan import JobPlan
from service.jobs.planning.machines import Planned
from service.jobs.planning.speed import Duration
from service.jobs.records import JobRecord
from service.training.contract.spec import Sharding


class MemoryObject(BaseModel):
    """Peak memory of a training step, in bytes. If a worker has several GPUs, of each."""

    weights: int
    adapter: int
    optimizer: int
    gradients: int
    activations: int
    logits: int
    overhead: int
    total: int = Field(description="Sum of the parts above plus the trainer process itself.")
    available: int | None = Field(
        description="Memory available on the worker. Null if the worker does not report it."
    )

    @classmethod
    def of(cls, machine: Planned) -> Self:
        """Build the API object from a plan."""
        plan = machine.plan
        return cls(**asdict(plan.memory), total=plan.needed, available=plan.available)


class DurationObject(BaseModel):
    """Estimated duration of the training from start to end, in seconds."""

    expected: int
    low: int
    high: int
    basis: Literal["past_jobs", "model_size"] = Field(
        description="Basis of the estimate: `past_jobs` (measured on `jobs` similar past jobs) or "
        "`model_size` (accurate only to an order of magnitude)."
    )
    jobs: int

    @classmethod
    def of(cls, duration: Duration) -> Self:
        """Build the API object from an estimated duration."""
        return cls(
            expected=duration.expected_s,
            low=duration.low_s,
            high=duration.high_s,
            basis="past_jobs" if duration.jobs else "model_size",
            jobs=duration.jobs,
        )


class EstimateObject(BaseModel):
    """Estimate of the steps, tokens, memory and duration of a job."""

    object: Literal["fine_tuning.estimate"] = "fine_tuning.estimate"
    model: str
    method: str
    hyperparameters: dict[str, Any] = Field(
        description="Hyperparameters, with `auto` values resolved."
    )
    reasons: list[str]
    rows: int
    steps: int
    trained_tokens: int
    device: str | None = Field(
        description="Device name of the online worker with the most memory to spare. Null if no "
        "worker is online."
    )
    gpus: int | None = Field(
        default=None,
        description="Number of that worker's GPUs that the job would use: all, but at most one per "
        "row of a batch. 0 on a worker without a GPU. Null if no worker is online.",
    )
    sharding: Sharding | None = Field(
        default=None,
        description="Use of several GPUs: `ddp` (each holds the whole base model) or `fsdp` (each "
        "holds a part, which is slower). Null for fewer than two GPUs.",
    )
    tokens_at_once: int | None = Field(
        default=None,
        description="Number of tokens that the model would process at once, as the worker's "
        "memory allows. Null if no worker is online. Like the next two, it does not "
        "change the result.",
    )
    gradient_checkpointing: bool | None = Field(
        default=None,
        description="Whether layers would be computed again for their backward pass, because the "
        "memory would not suffice otherwise. Null if no worker is online.",
    )
    inputs_on_host: bool | None = Field(
        default=None,
        description="Whether the inputs of layers would be kept in the machine's memory, because "
        "the GPU's memory would not suffice for the longest row. Null if no worker is "
        "online.",
    )
    memory: MemoryObject | None = Field(
        description="Memory estimate for that worker. Null if no worker is online."
    )
    fits: bool | None
    advice: str | None = Field(description="Change that would make the job fit the worker.")
    duration: DurationObject | None

    @classmethod
    def of(cls, job: JobRecord, rows: int, plan: JobPlan) -> Self:
        """Build the API object from the plan of a job."""
        machine = plan.machine
        return cls(
            model=job.model,
            method=job.method,
            hyperparameters=plan.chosen.model_dump(mode="json"),
            reasons=list(plan.reasons),
            rows=rows,
            steps=plan.run.steps,
            trained_tokens=plan.run.tokens,
            device=machine.worker.device_name if machine else None,
            gpus=_gpus(machine) if machine else None,
            **(plan.memory._asdict() if machine else {}),
            memory=MemoryObject.of(machine) if machine else None,
            fits=machine.plan.fits if machine else None,
            advice=machine.advice if machine else None,
            duration=DurationObject.of(plan.duration) if plan.duration else None,
        )


def _gpus(machine: Planned) -> int:
    return 0 if machine.worker.device == "cpu" else machine.plan.gpus
