"""Plan of a job: hyperparameters without `auto`, steps, memory and time."""

from __future__ import annotations

from dataclasses import dataclass

from service.core.redis import Client
from service.jobs.memory import MemorySettings
from service.jobs.planning.hyperparameters import Base, answer_tokens, resolve
from service.jobs.planning.inputs import Inputs
from service.jobs.planning.machines import Planned, planned, shape_of, trainers
from service.jobs.planning.memory_plan import Training
from service.jobs.planning.speed import Duration, SpeedKey, Speeds
from service.jobs.records import JobRecord
from service.models.catalogue import BaseModelEntry
from service.training.contract.hyperparameters import ReinforcementHyperparameters, Resolved
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
    reasons: tuple[str, ...]
    run: RunEstimate
    machine: Planned | None
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
    reasons = (*inputs.reasons, *resolution.reasons, *_sampled(chosen))
    longest = None if inputs.longest is None else inputs.longest + answer_tokens(chosen)
    machine, duration, memory = None, None, MemorySettings()
    if (shape := shape_of(entry)) is not None:
        training = Training(chosen, job.method, longest, tokens_at_once)
        machine = planned(training, shape, await trainers(redis))
        memory = machine.plan.settings if machine is not None else memory
    else:
        reasons = (*reasons, _UNKNOWN_SHAPE)
        memory = MemorySettings(gradient_checkpointing=True)
    if machine is not None and entry.parameters is not None:
        kind = SpeedKey.of(job, machine.worker.device_name)
        speed = await Speeds(redis).expected(kind, machine.worker, entry.parameters)
        duration = speed.duration(run.tokens)
    return JobPlan(chosen, reasons, run, machine, duration, memory, longest)


def _tokens(chosen: Resolved, inputs: Inputs) -> int:
    """Return the tokens per epoch. Sampled answers count with the most tokens they may have."""
    if not isinstance(chosen, ReinforcementHyperparameters):
        return inputs.tokens(chosen.max_seq_length)
    prompts = inputs.tokens(chosen.max_seq_length - chosen.max_completion_tokens)
    return chosen.group_size * (prompts + inputs.rows * chosen.max_completion_tokens)


def _sampled(chosen: Resolved) -> tuple[str, ...]:
    """Return what the training samples."""
    if not isinstance(chosen, ReinforcementHyperparameters):
        return ()
    answers = chosen.batch_size * chosen.group_size
    text = (
        f"answers → {answers} per step ({chosen.batch_size} prompts, {chosen.group_size} answers "
        f"to each) of up to {chosen.max_completion_tokens} tokens; the estimate is for answers of "
        "that length"
    )
    return (text,)
