"""Training plans for the online machines: required memory, and whether the training fits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from service.core.redis import Client
from service.fleet import workers
from service.fleet.workers import Capacity, Worker
from service.jobs.planning.memory_plan import (
    Advice,
    MemoryPlan,
    Training,
    advice,
    fits,
    plan,
)
from service.jobs.planning.notes import Note
from service.jobs.records import JobRecord, MemorySettings
from service.models.catalogue import BaseModelEntry
from service.training.model.shape import ModelShape, UnknownShape

_GIB = 2**30


@dataclass(frozen=True)
class MachinePlan:
    """Plan on the machine with the most free room for the training."""

    worker: Worker
    plan: MemoryPlan
    advice: Advice | None  # change that would make it fit; None if it already fits

    @property
    def refusal(self) -> str | None:
        """Reason why no worker can run the training, with advice; None if it fits."""
        if self.plan.fits or self.plan.available is None:
            return None
        advice = self.advice.text if self.advice else ""
        if not self.plan.fits_host:
            host = (self.plan.host_bytes or 0) / _GIB
            what = "the base model" if self.plan.sharding == "fsdp" else "the inputs of layers"
            return (
                f"The training needs about {host:.0f} GiB of its machine's own memory for {what}, "
                f"but the largest worker has {(self.plan.host_available or 0) / _GIB:.0f} GiB "
                f"available. {advice}"
            )
        needed, gpus = f"{self.plan.needed / _GIB:.1f} GiB", self.plan.gpus
        return (
            f"The training needs about {needed}{f' on each of {gpus} GPUs' if gpus > 1 else ''}, "
            f"but the largest worker has {self.plan.available / _GIB:.1f} GiB available. "
            f"{advice}"
        )

    def describe(self) -> list[Note]:
        """Return notes on the memory and the settings that make the training fit."""
        return describe_plan(self.plan, self.worker)


def describe_plan(there: MemoryPlan, worker: Worker) -> list[Note]:
    """Return notes on the memory of a plan and the settings that make it fit."""
    of = "" if there.available is None else f" of {there.available / _GIB:.1f}"
    where = worker.device_name
    if there.gpus > 1:
        where = f"each of {there.gpus} GPUs ({where})"
    memory = f"memory: about {there.needed / _GIB:.1f}{of} GiB on {where}"
    figures: dict[str, Any] = {"needed": there.needed, "gpus": there.gpus}
    figures |= {"device": worker.device_name, "tokens_at_once": there.tokens_at_once}
    if there.available is not None:
        figures["available"] = there.available
    text = f"{memory}, in parts of at most {there.tokens_at_once:,} tokens"
    notes = [Note(text, "memory", figures)]
    if there.gradient_checkpointing:
        text = "gradient checkpointing auto → on: memory would not suffice without it"
        if there.kept_layers:
            text += f"; {there.kept_layers} layers keep their activations, which is faster"
        notes.append(Note(text, "gradient_checkpointing", {"kept_layers": there.kept_layers}))
    host = f"{(there.host_bytes or 0) / _GIB:.0f} GiB"
    if there.inputs_on_host:
        text = (
            "inputs of layers → in the machine's memory: gradient checkpointing alone would not "
            f"suffice; they take about {host} there"
        )
        notes.append(Note(text, "inputs_on_host", {"bytes": there.host_bytes or 0}))
    if there.sharding == "fsdp":
        text = (
            f"sharding → fsdp: each of {there.gpus} GPUs holds a part of the base model, which "
            f"does not fit on one; loading it takes about {host} of the machine's memory"
        )
        shared = {"gpus": there.gpus, "bytes": there.host_bytes or 0}
        notes.append(Note(text, "sharding", shared))
    return notes


async def online_trainers(redis: Client) -> list[Worker]:
    """Return the online workers that run trainings."""
    return [worker for worker in await workers.alive(redis) if "gpu" in worker.queues]


async def can_shard(redis: Client, batch_size: int) -> bool:
    """Return whether an online worker can divide the base model among several GPUs."""
    return any(worker.shards(batch_size) for worker in await online_trainers(redis))


def plan_on_best(
    training: Training, shape: ModelShape, machines: list[Worker]
) -> MachinePlan | None:
    """Return the plan on the machine with the most room, or None if no machine is online."""
    if not machines:
        return None
    plans = [(worker, plan(training, shape, worker)) for worker in machines]
    worker, best = max(plans, key=lambda pair: (pair[1].fits, pair[1].room))
    return MachinePlan(worker, best, None if best.fits else advice(training, shape, worker))


def read_shape(entry: BaseModelEntry) -> ModelShape | None:
    """Return the base model's dimensions, or None if its folder is missing or lacks them."""
    try:
        stamp = (entry.path / "config.json").stat().st_mtime_ns
        return _read(entry.path, stamp)
    except (OSError, UnknownShape):
        return None


@lru_cache(maxsize=64)
def _read(folder: Path, _stamp: int) -> ModelShape:
    return ModelShape.read(folder)


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
    if limits.sharding == "fsdp" and not machine.shards(job.resolved.batch_size):
        return False
    found = _training(job, entry, tokens_at_once)
    return found is None or fits(*found, machine, limits)


def _training(
    job: JobRecord, entry: BaseModelEntry, tokens_at_once: int | None
) -> tuple[Training, ModelShape] | None:
    if job.longest_row is None or (shape := read_shape(entry)) is None:
        return None
    return Training(job.resolved, job.method, job.longest_row, tokens_at_once), shape


def _limits(job: JobRecord) -> MemorySettings:
    return job.memory_settings if job.memory_retries else MemorySettings()
