"""Wire types of sweeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.jobs.records import JobRecord, Status
from service.jobs.schemas.create import CreateJob
from service.jobs.schemas.jobs import MixedFileObject
from service.jobs.sweeps.records import SweepRecord
from service.training.contract.methods import METHODS, MethodName
from service.web.operations import Operation, shared_fields

MAX_TRIALS: Final = 16
_INPUTS: Final = {
    "model",
    "method",
    "training_file",
    "validation_file",
    "mixed_files",
    "suffix",
    "seed",
    "stop_losers",
}
SweepAndJobs = tuple[SweepRecord, Sequence[JobRecord]]
T = TypeVar("T")


def _differ(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        raise ValueError("a value is repeated")
    return values


_List = Annotated[list[T], Field(min_length=1, max_length=MAX_TRIALS), AfterValidator(_differ)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self) -> dict[str, list[Any]]:
        """The lists by the name of their hyperparameter."""
        return {
            name: values
            for name in type(self).model_fields
            if isinstance(values := getattr(self, name), list)
        }


class LoraValues(_Values):
    """Lists of LoRA options to try."""

    r: _List[Annotated[int, Field(ge=1, le=512)]] | None = Field(
        default=None, description="LoRA ranks to try."
    )
    alpha: _List[Annotated[int, Field(ge=1, le=4096)]] | None = Field(
        default=None, description="LoRA alphas to try."
    )
    dropout: _List[Annotated[float, Field(ge=0, lt=1)]] | None = Field(
        default=None, description="Dropout probabilities to try."
    )


class SweepValues(_Values):
    """Lists of hyperparameter values to try. Each combination is a trial."""

    n_epochs: _List[Annotated[int, Field(ge=1, le=50)]] | None = Field(
        default=None, description="Numbers of epochs to try."
    )
    batch_size: _List[Annotated[int, Field(ge=1, le=256)]] | None = Field(
        default=None, description="Batch sizes to try. Not for `kto`, whose loss depends on it."
    )
    learning_rate: _List[Annotated[float, Field(gt=0, le=1)]] | None = Field(
        default=None, description="Learning rates to try.", examples=[[0.0002, 0.001]]
    )
    learning_rate_multiplier: _List[_Positive] | None = Field(
        default=None, description="Learning rate multipliers to try."
    )
    lora: LoraValues = Field(default=LoraValues(), description="LoRA options to try.")

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.learning_rate and self.learning_rate_multiplier:
            raise ValueError("give learning_rate or learning_rate_multiplier, not both")
        return self

    @model_validator(mode="after")
    def _count(self) -> Self:
        lists = [*self.given().values(), *self.lora.given().values()]
        count = math.prod(len(values) for values in lists)
        if not 2 <= count <= MAX_TRIALS:
            raise ValueError(
                f"the lists have {count} combinations; a sweep has 2 to {MAX_TRIALS} trials"
            )
        return self

    def combinations(self) -> list[dict[str, Any]]:
        """Every combination of the values, as the hyperparameters in which a trial differs."""
        own = _combinations(self.given())
        lora = _combinations(self.lora.given())
        return [
            {**fields, "lora": options} if options else fields
            for fields, options in product(own, lora)
        ]


def _combinations(lists: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]


class CreateSweep(CreateJob):
    """Request body for creating a sweep: that of a job, with lists of values to try."""

    values: SweepValues = Field(
        description="Lists of hyperparameter values to try. Each combination is a trial; a sweep "
        f"has 2 to {MAX_TRIALS}.",
        examples=[{"learning_rate": [0.0002, 0.001], "lora": {"r": [8, 16]}}],
    )
    stop_losers: bool = Field(
        default=True,
        description="Whether the worse half of the trials is stopped after a third of the "
        "training, and again after two thirds. Only trials with the same number of "
        "epochs are compared.",
    )

    @model_validator(mode="after")
    def _fixed_or_tried(self) -> Self:
        tried, fixed = self.values.given(), self.asked
        both = sorted(tried.keys() & _fixed(fixed))
        both += [f"lora.{o}" for o in sorted(self.values.lora.given().keys() & _fixed(fixed.lora))]
        if both:
            raise ValueError(f"give {both[0]} in 'values' or in the hyperparameters, not both")
        if METHODS[self.method_name].batch_size_changes_loss and "batch_size" in tried:
            raise ValueError(
                f"the loss of '{self.method_name}' depends on the batch size, so it cannot compare "
                "batch sizes; give one batch_size in the hyperparameters"
            )
        return self


def _fixed(options: BaseModel) -> set[str]:
    """The options that a request sets to a value."""
    return {name for name in options.model_fields_set if getattr(options, name) != "auto"}


class TrialObject(BaseModel):
    """A trial of a sweep, which is a fine-tuning job."""

    job_id: str = Field(description="ID of the job.")
    hyperparameters: dict[str, Any] = Field(
        description="Hyperparameters in which the trials differ.",
        examples=[{"learning_rate": 0.001, "lora": {"r": 16}}],
    )
    status: Status = Field(description="Status of the job.")
    is_waiting: bool = Field(
        description="Whether the trial is paused until the other trials catch up."
    )
    held_out_loss: float | None = Field(
        description="Loss on the held-out rows at the newest checkpoint or, with `keep_best`, at "
        "the best one. Null until there is one.",
        examples=[1.7134],
    )
    stopped: str | None = Field(
        description="Reason why the sweep stopped the trial; null if it did not."
    )
    fine_tuned_model: str | None = Field(
        description="Name of the fine-tuned model. Null until the job succeeds."
    )


class SweepResult(BaseModel):
    """Outcome of a completed sweep."""

    best_job_id: str = Field(
        description="ID of the job that succeeded with the lowest held-out loss."
    )
    fine_tuned_model: str | None = Field(
        description="Name of the fine-tuned model of the best job; null if the job was deleted."
    )


class Sweep(Operation):
    """A sweep: fine-tuning jobs, called trials, that differ in some hyperparameters.

    Its inputs have the names that they have in jobs.
    """

    id: str = Field(description="ID of the sweep. Starts with `ftsweep-`.")
    object: Literal["sweep"] = "sweep"
    model: str = Field(description="ID of the base model.")
    method: MethodName = Field(description="Training method.")
    training_file: str = Field(description="ID of the training file.")
    validation_file: str | None = Field(description="ID of the validation file.")
    mixed_files: list[MixedFileObject] = Field(
        description="Files whose rows are mixed with those of the training file; empty if there "
        "are none.",
    )
    suffix: str | None = Field(description="Suffix in the names of the fine-tuned models.")
    seed: int = Field(description="Random seed of all trials.")
    stop_losers: bool = Field(description="Whether the worse trials are stopped early.")
    trials: list[TrialObject] = Field(description="Trials, in the order of their values.")
    result: SweepResult | None = Field(
        description="The best trial; null unless the status is `completed`."
    )

    @classmethod
    def from_record(cls, sweep: SweepAndJobs) -> Self:
        """Build the API object of a sweep and its jobs."""
        record, jobs = sweep
        return cls.model_validate(
            {
                **shared_fields(record),
                **record.model_dump(include=_INPUTS),
                "progress": {
                    "completed": sum(job.is_final for job in jobs),
                    "total": len(record.trials),
                },
                "trials": _trials(record, jobs),
                "result": record.best_job
                and {
                    "best_job_id": record.best_job,
                    "fine_tuned_model": next(
                        (job.fine_tuned_model for job in jobs if job.id == record.best_job), None
                    ),
                },
            }
        )


def _trials(record: SweepRecord, jobs: Sequence[JobRecord]) -> list[TrialObject]:
    """Return the trials of a sweep whose jobs exist."""
    by_id = {job.id: job for job in jobs}
    return [
        TrialObject(
            job_id=job.id,
            hyperparameters=trial.hyperparameters,
            status=job.status,
            is_waiting=job.waits_for_sweep,
            held_out_loss=job.held_out_loss,
            stopped=trial.stopped,
            fine_tuned_model=job.fine_tuned_model,
        )
        for trial in record.trials
        if (job := by_id.get(trial.job_id)) is not None
    ]
