"""Decides how much GPU memory and how many GPUs a worker has for trainings."""

from __future__ import annotations

from service.config import Settings
from service.fleet.workers import Capacity
from service.inference.engine.sizing import trainer_budget
from service.inference.engine.sizing_inputs import engines_bytes, on_this_gpu
from service.models.catalogue import Catalogue


def limit_trainer_memory(settings: Settings, catalogue: Catalogue, machine: Capacity) -> Settings:
    """Limit the memory of trainers to the part of a shared GPU that its engines leave free."""
    if machine.device != "cuda" or settings.gpu_sharing == "separate" or settings.ray_address:
        return settings
    served = engines_bytes(on_this_gpu(settings.gpu_models, catalogue.all()))
    budget = trainer_budget(settings, machine.memory_bytes, served)
    return settings.model_copy(update={"trainer_memory_bytes": budget})


def training_capacity(machine: Capacity, settings: Settings) -> Capacity:
    """Return the capacity that jobs are planned for: that of one training."""
    if settings.ray_address is not None:
        return _cluster_capacity(settings)
    budget, memory = settings.trainer_memory_bytes, machine.memory_bytes
    if machine.device == "cuda" and budget is not None and memory is not None:
        machine = machine.model_copy(update={"memory_bytes": min(budget, memory)})
    gpus = min(settings.trainer_gpus or machine.gpus, machine.gpus)
    if gpus < 2:
        return machine
    return machine.model_copy(
        update={
            # Speeds of past trainings are kept by this name.
            "device_name": f"{gpus} × {machine.device_name}",
            "gpus": gpus,
            "sharding": settings.trainer_sharding,
        }
    )


def _cluster_capacity(settings: Settings) -> Capacity:
    """Return the capacity of a training on a Ray cluster, as the operator states it.

    The nodes may start only when a training waits for them, so they are not measured.
    """
    gpus = settings.trainer_gpus or 1
    return Capacity(
        device=settings.ray_device,
        device_name=f"{gpus} × {'GPU' if settings.ray_device == 'cuda' else 'CPU'} of a cluster",
        gpus=gpus,
        memory_bytes=settings.trainer_memory_bytes,
        sharding=settings.trainer_sharding if gpus > 1 else None,
    )
