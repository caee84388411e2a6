"""Plan of a job: hyperparameters without `auto`, steps, memory and time; and its API object."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from service.config import Settings
from service.core.errors import BadRequest, NotReady
from service.core.redis import Client
from service.files.records import Files
from service.jobs.planning.hyperparameters import Base, answer_tokens, resolve
from service.jobs.planning.machines import MachinePlan, online_trainers, plan_on_best, read_shape
from service.jobs.planning.memory_plan import Training
from service.jobs.planning.mixture import Inputs
from service.jobs.planning.notes import Note
from service.jobs.planning.speed import Duration, SpeedKey, Speeds
from service.jobs.planning.training_files import CannotTrain, InProgress, InputFiles
from service.jobs.records import JobRecord, MemorySettings
from service.models.catalogue import BaseModelEntry
from service.training.contract.hyperparameters import ReinforcementHyperparameters, Resolved
from service.training.contract.spec import Sharding
from service.training.loop.estimate import RunEstimate, estimate_run

_UNKNOWN_SHAPE = (
    "gradient checkpointing auto → on: the memory cannot be planned, because the dimensions of the "
    "base model are unknown"
)


@dataclass(frozen=True)
class JobPlan:
    """Plan of a job on the worker with the most memory to spare.

    `machine` and `duration` are None if no worker is online or the base model's size is unknown.
    """

    chosen: Resolved
    notes: tuple[Note, ...]
    run: RunEstimate
    machine: MachinePlan | None
    duration: Duration | None
    memory: MemorySettings
    longest_row: int | None


async def resolve_and_plan(
    job: JobRecord,
    entry: BaseModelEntry,
    inputs: Inputs,
    *,
    redis: Client,
    tokens_at_once: int | None,
) -> JobPlan:
    """Resolve every `auto` of a job, and plan its memory and time on the online workers.

    `tokens_at_once` is the operator's setting, or None if the memory of the device decides.
    """
    resolution = resolve(
        job.hyperparameters,
        method=job.method,
        data=inputs.data,
        base=Base(entry.context_length, entry.parameters),
    )
    chosen = resolution.chosen
    samples = inputs.samples(chosen.max_seq_length)
    run = estimate_run(chosen, rows=samples, tokens=_tokens(chosen, inputs))
    notes = (*map(Note, inputs.reasons), *resolution.notes, *_sampling_notes(chosen))
    longest = None if inputs.longest is None else inputs.longest + answer_tokens(chosen)
    machine, duration, memory = None, None, MemorySettings()
    if (shape := read_shape(entry)) is not None:
        training = Training(chosen, job.method, longest, tokens_at_once)
        machine = plan_on_best(training, shape, await online_trainers(redis))
        memory = machine.plan.settings if machine is not None else memory
    else:
        notes = (*notes, Note(_UNKNOWN_SHAPE))
        memory = MemorySettings(gradient_checkpointing=True)
    if machine is not None and entry.parameters is not None:
        kind = SpeedKey.for_job(job, machine.worker.device_name)
        speed = await Speeds(redis).expected(kind, machine.worker, entry.parameters)
        duration = speed.duration(run.tokens)
    return JobPlan(chosen, notes, run, machine, duration, memory, longest)


def _tokens(chosen: Resolved, inputs: Inputs) -> int:
    """Return the tokens per epoch. Sampled answers count with the most tokens they may have."""
    if not isinstance(chosen, ReinforcementHyperparameters):
        return inputs.tokens(chosen.max_seq_length)
    prompts = inputs.tokens(chosen.max_seq_length - chosen.max_completion_tokens)
    return chosen.group_size * (prompts + inputs.rows * chosen.max_completion_tokens)


def _sampling_notes(chosen: Resolved) -> tuple[Note, ...]:
    """Return the number of answers that the training samples, as a reason."""
    if not isinstance(chosen, ReinforcementHyperparameters):
        return ()
    answers = chosen.batch_size * chosen.group_size
    text = (
        f"answers → {answers} per step ({chosen.batch_size} prompts, {chosen.group_size} answers "
        f"to each) of up to {chosen.max_completion_tokens} tokens; the estimate is for answers of "
        "that length"
    )
    return (Note(text),)


class ReasonObject(BaseModel):
    """Reason for the value of a hyperparameter that was `auto`."""

    parameter: str = Field(description="Name of the hyperparameter.", examples=["lora.r"])
    code: str = Field(description="Code of the reason.", examples=["rows"])
    figures: dict[str, Any] = Field(
        description="Figures of the reason, such as `rows`.", examples=[{"value": 16, "rows": 120}]
    )


class FittingSettings(BaseModel):
    """Settings with which a job would fit. Null: the setting remains unchanged."""

    quantization: str | None = Field(default=None, description="Value of `quantization`.")
    batch_size: int | None = Field(default=None, description="Value of `batch_size`.")
    max_seq_length: int | None = Field(default=None, description="Value of `max_seq_length`.")


class MemoryObject(BaseModel):
    """Peak memory of a training step in bytes, per GPU if the worker has several."""

    weights: int = Field(description="Weights of the base model.")
    adapter: int = Field(description="Weights of the adapter.")
    optimizer: int = Field(description="State of the optimizer.")
    gradients: int = Field(description="Gradients of the adapter.")
    activations: int = Field(description="Activations of a step.")
    logits: int = Field(description="Logits of a step.")
    overhead: int = Field(description="Buffers of the framework and fragmentation.")
    total: int = Field(description="Sum of the parts above plus the trainer process itself.")
    available: int | None = Field(
        description="Memory available on the worker. Null if the worker does not report it."
    )

    @classmethod
    def from_plan(cls, machine: MachinePlan) -> Self:
        """Build the API object from a plan."""
        plan = machine.plan
        return cls(**asdict(plan.memory), total=plan.needed, available=plan.available)


class DurationObject(BaseModel):
    """Estimated duration of the training from start to end, in seconds."""

    expected: int = Field(description="Expected duration.")
    low: int = Field(description="Lower bound of the expected range.")
    high: int = Field(description="Upper bound of the expected range.")
    basis: Literal["past_jobs", "model_size"] = Field(
        description="Basis of the estimate: `past_jobs` (measured on `jobs` similar past jobs) or "
        "`model_size` (accurate only to an order of magnitude)."
    )
    jobs: int = Field(description="Number of past jobs that the estimate is based on.")

    @classmethod
    def from_duration(cls, duration: Duration) -> Self:
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
    model: str = Field(description="ID of the base model.")
    method: str = Field(description="Training method.")
    hyperparameters: dict[str, Any] = Field(
        description="Hyperparameters, with `auto` values resolved."
    )
    reasons: list[str] = Field(description="Reasons for the values of `auto` hyperparameters.")
    reason_details: list[ReasonObject] = Field(
        default=[], description="Codes and figures of the reasons for hyperparameters."
    )
    rows: int = Field(description="Number of training rows.")
    steps: int = Field(description="Number of training steps.")
    trained_tokens: int = Field(description="Number of tokens that are trained on in all epochs.")
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
    fits: bool | None = Field(
        description="Whether the job fits into the memory of an online worker. Null if no worker "
        "is online."
    )
    advice: str | None = Field(description="Change that would make the job fit the worker.")
    fitting_settings: FittingSettings | None = Field(
        default=None,
        description="The settings of `advice`. Null if the job fits, or if no setting suffices.",
    )
    duration: DurationObject | None

    @classmethod
    def from_plan(cls, job: JobRecord, rows: int, plan: JobPlan) -> Self:
        """Build the API object from the plan of a job."""
        machine = plan.machine
        return cls(
            model=job.model,
            method=job.method,
            hyperparameters=plan.chosen.model_dump(mode="json"),
            reasons=[note.text for note in plan.notes],
            reason_details=[
                ReasonObject(parameter=note.parameter, code=note.code, figures=note.figures)
                for note in plan.notes
                if note.parameter and note.code
            ],
            rows=rows,
            steps=plan.run.steps,
            trained_tokens=plan.run.tokens,
            device=machine.worker.device_name if machine else None,
            gpus=_gpus(machine) if machine else None,
            **(plan.memory._asdict() if machine else {}),
            memory=MemoryObject.from_plan(machine) if machine else None,
            fits=machine.plan.fits if machine else None,
            advice=machine.advice.text if machine and machine.advice else None,
            fitting_settings=FittingSettings(**machine.advice.settings)
            if machine and machine.advice and machine.advice.settings
            else None,
            duration=DurationObject.from_duration(plan.duration) if plan.duration else None,
        )


def _gpus(machine: MachinePlan) -> int:
    return 0 if machine.worker.device == "cpu" else machine.plan.gpus


async def estimate(
    job: JobRecord, entry: BaseModelEntry, *, redis: Client, files: Files, settings: Settings
) -> EstimateObject:
    """Estimate a validated job that is not created. Stores nothing.

    Raises BadRequest if the job would fail because of its files, and NotReady while a file is being
    checked or measured.
    """
    try:
        inputs = await InputFiles(files, settings).check(job, entry)
    except CannotTrain as e:
        failure = e.failure
        raise BadRequest(failure.message, param=failure.param, code=failure.code) from e
    except InProgress as e:
        raise NotReady(f"{e} Try again in a second.") from e
    plan = await resolve_and_plan(
        job, entry, inputs, redis=redis, tokens_at_once=settings.tokens_at_once
    )
    return EstimateObject.from_plan(job, inputs.rows, plan)
