"""The memory plan of a queued job on the worker that may take it.

That may not be the worker that the job was planned for: it may have fewer GPUs, or less memory.
"""

from __future__ import annotations

from service.fleet.workers import Capacity
from service.jobs.planning.machines import shape_of
from service.jobs.planning.memory_plan import Limits, MemoryPlan, Training, fits, plan
from service.jobs.records import JobRecord
from service.models.catalogue import BaseModelEntry
from service.training.model.shape import ModelShape


def plan_on(
    job: JobRecord, entry: BaseModelEntry, machine: Capacity, tokens_at_once: int | None
) -> MemoryPlan | None:
    """Return the plan of a prepared job on this machine.

    After an attempt that ran out of memory, it is at most as large as what was chosen then.
    `tokens_at_once` is the operator's setting. Returns None if the lengths of the job's rows or the
    dimensions of its base model are unknown; the job then keeps its settings.
    """
    found = _training(job, entry, tokens_at_once)
    return None if found is None else plan(*found, machine, _limits(job))


def fits_on(
    job: JobRecord, entry: BaseModelEntry, machine: Capacity, tokens_at_once: int | None
) -> bool:
    """Return whether a machine can run a prepared job. True if that is unknown."""
    limits = _limits(job)
    if limits.sharded and not machine.shards(job.resolved.batch_size):
        return False
    found = _training(job, entry, tokens_at_once)
    return found is None or fits(*found, machine, limits)


def _training(
    job: JobRecord, entry: BaseModelEntry, tokens_at_once: int | None
) -> tuple[Training, ModelShape] | None:
    if job.longest_row is None or (shape := shape_of(entry)) is None:
        return None
    return Training(job.resolved, job.method, job.longest_row, tokens_at_once), shape


def _limits(job: JobRecord) -> Limits:
    if not job.memory_retries:
        return Limits()
    return Limits(
        job.tokens_at_once,
        job.gradient_checkpointing,
        job.inputs_on_host,
        job.sharding == "fsdp",
    )
