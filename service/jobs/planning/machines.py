"""Training plans for the online machines: required memory, and whether the training fits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from service.core.redis import Client
from service.fleet import workers
from service.fleet.workers import Worker
from service.jobs.planning.memory_plan import MemoryPlan, Training, advice, best, plan
from service.models.catalogue import BaseModelEntry
from service.training.model.shape import ModelShape, UnknownShape

_GIB = 2**30


@dataclass(frozen=True)
class Planned:
    """Plan on the machine with the most free room for the training."""

    worker: Worker
    plan: MemoryPlan
    advice: str | None  # change that would make it fit; None if it already fits

    @property
    def refusal(self) -> str | None:
        """Reason why no worker can run the training, with advice; None if it fits."""
        if self.plan.fits or self.plan.available is None:
            return None
        return (
            f"The training needs about {self.plan.needed / _GIB:.1f} GiB, but the largest worker "
            f"has {self.plan.available / _GIB:.1f} GiB available. {self.advice}"
        )

    def words(self) -> list[str]:
        """Return event messages on the memory and the settings that make the training fit."""
        there = self.plan
        of = "" if there.available is None else f" of {there.available / _GIB:.1f}"
        memory = f"memory: about {there.needed / _GIB:.1f}{of} GiB on {self.worker.device_name}"
        reasons = [f"{memory}, in parts of at most {there.tokens_at_once:,} tokens"]
        if there.gradient_checkpointing:
            reasons.append("gradient checkpointing auto → on: memory would not suffice without it")
        return reasons


async def trainers(redis: Client) -> list[Worker]:
    """Return the online workers that run trainings."""
    return [worker for worker in await workers.alive(redis) if "gpu" in worker.queues]


def planned(training: Training, shape: ModelShape, machines: list[Worker]) -> Planned | None:
    """Return the plan on the machine with the most room, or None if no machine is online."""
    found = best(machines, lambda machine: plan(training, shape, machine))
    if found is None:
        return None
    worker, there = found
    return Planned(worker, there, None if there.fits else advice(training, shape, worker))


def shape_of(entry: BaseModelEntry) -> ModelShape | None:
    """Return the base model's dimensions, or None if its folder is missing or lacks them."""
    try:
        stamp = (entry.path / "config.json").stat().st_mtime_ns
        return _read(entry.path, stamp)
    except (OSError, UnknownShape):
        return None


@lru_cache(maxsize=64)
def _read(folder: Path, _stamp: int) -> ModelShape:
    return ModelShape.read(folder)
