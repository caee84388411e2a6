"""Resources left for training on a machine whose GPU also serves models."""

from __future__ import annotations

from service.config import Settings
from service.fleet.workers import Capacity
from service.inference.engine.facts import engines_bytes
from service.inference.engine.sizing import trainer_budget
from service.models.catalogue import Catalogue


def with_budget(settings: Settings, catalogue: Catalogue, machine: Capacity) -> Settings:
    """Settings that limit trainers to the part of a shared GPU that its engines leave free."""
    if machine.device != "cuda" or settings.gpu_sharing == "separate":
        return settings
    served = engines_bytes(catalogue.all())
    budget = trainer_budget(settings, machine.memory_bytes, served)
    return settings.model_copy(update={"trainer_memory_bytes": budget})


def within_budget(machine: Capacity, settings: Settings) -> Capacity:
    """Capacity available to training, so that jobs are planned for the memory that is free."""
    budget = settings.trainer_memory_bytes
    if machine.device != "cuda" or budget is None or machine.memory_bytes is None:
        return machine
    return machine.model_copy(update={"memory_bytes": min(budget, machine.memory_bytes)})
