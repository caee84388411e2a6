"""What is left for a training on a machine whose GPU serves too."""

from __future__ import annotations

from service.config import Settings
from service.fleet.workers import Capacity
from service.inference.engine.facts import engines_bytes
from service.inference.engine.sizing import trainer_budget
from service.models.catalogue import Catalogue


def with_budget(settings: Settings, catalogue: Catalogue, machine: Capacity) -> Settings:
    """Settings whose trainers take no more of a shared GPU than its engines leave."""
    if machine.device != "cuda" or settings.gpu_sharing == "separate":
        return settings
    served = engines_bytes(catalogue.all())
    budget = trainer_budget(settings, machine.memory_bytes, served)
    return settings.model_copy(update={"trainer_memory_bytes": budget})


def within_budget(machine: Capacity, settings: Settings) -> Capacity:
    """The machine as a training may use it, so that jobs are planned for what is there."""
    budget = settings.trainer_memory_bytes
    if machine.device != "cuda" or budget is None or machine.memory_bytes is None:
        return machine
    return machine.model_copy(update={"memory_bytes": min(budget, machine.memory_bytes)})
