"""Decides how `up` lets engines and trainings share GPUs if chats have a latency budget.

With a budget (`train_slo_ms`), trainings run next to engines if there is room for both, and are
paced. Otherwise engines sleep while a job trains. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.config import GIB, Settings
from service.fleet.workers import Capacity
from service.jobs.planning.machines import read_shape
from service.jobs.planning.memory_plan import Training, plan
from service.models.catalogue import BaseModelEntry
from service.standalone.placement import Placement, Sharing, Wanted, place
from service.training.contract.hyperparameters import RESOLVED

# QLoRA of rank 16 on rows that are longer than in most data sets.
BATCH, LENGTH = 8, 2048


@dataclass(frozen=True)
class Choice:
    """How GPUs are shared, and the reason if it follows from the latency budget of chats."""

    sharing: Sharing
    why: str | None = None


def choose_sharing(
    gpus: Sequence[int],
    entries: Sequence[BaseModelEntry],
    wanted: Sequence[Wanted],
    settings: Settings,
    memory_bytes: int,
    *,
    is_set: bool,
    has_bf16: bool | None = None,
) -> Choice:
    """Choose how engines and trainings share GPUs of these sizes in bytes.

    `wanted` are the engines of `entries`. `is_set`: the operator has chosen `gpu_sharing`. Then
    `separate` and `share` stay, and `time-slice` becomes `share` if there is a budget and room for
    both, without smaller weights for an engine.
    """
    if not settings.train_slo_ms or not gpus or (is_set and settings.gpu_sharing != "time-slice"):
        return Choice(settings.gpu_sharing)
    beside = settings.model_copy(update={"gpu_sharing": "share"})
    placement = place_all(gpus, entries, wanted, beside, memory_bytes, has_bf16)
    turns = settings.model_copy(update={"gpu_sharing": "time-slice"})
    missing = _find_smaller_engine(placement, place(gpus, wanted, turns, memory_bytes))
    missing = missing or _find_misfit(placement, entries, beside, has_bf16)
    if missing is not None:
        return Choice("time-slice", f"{missing}, so engines sleep while a job trains")
    budget = f"{settings.train_slo_ms:,} ms"
    if placement.sharing == "separate":
        return Choice("share", "trainings have GPUs of their own and need not be paced")
    return Choice(
        "share", f"trainings run next to engines and rest to keep the p95 of chats below {budget}"
    )


def _find_smaller_engine(beside: Placement, turns: Placement) -> str | None:
    """Return which engine would need smaller weights to run next to a training."""
    for engine in beside.engines:
        alone = turns.engine(engine.model)
        form = engine.sizes.base.quantization
        if alone is not None and form != alone.sizes.base.quantization:
            return f"next to a training, the engine of {engine.model} would need weights in {form}"
    return None


def _find_misfit(
    placement: Placement,
    entries: Iterable[BaseModelEntry],
    settings: Settings,
    has_bf16: bool | None,
) -> str | None:
    """Return which engine or training does not fit if both run at the same time, or None."""
    for engine in placement.unplaced:
        return f"the engine of {engine.model} does not fit next to a training"
    machine = training_machine(placement, settings, has_bf16)
    for entry in entries:
        if (shape := read_shape(entry)) is None:
            return f"what a training of {entry.id} needs is unknown"
        there = plan(reference_training(entry, settings), shape, machine)
        if not there.fits:
            left = (there.available or 0) / GIB
            return (
                f"a training of {entry.id} needs {there.needed / GIB:.1f} GiB, and the engines "
                f"leave {left:.1f} GiB"
            )
    return None


def place_all(
    gpus: Sequence[int],
    entries: Sequence[BaseModelEntry],
    wanted: Sequence[Wanted],
    settings: Settings,
    memory_bytes: int,
    has_bf16: bool | None = None,
) -> Placement:
    """Place engines and workers. A worker gets as few GPUs as trainings of these models need.

    Replicas that would keep a training from fitting are left out.
    """
    counts = range(1, len(gpus) + 1)
    best: tuple[int, Placement] | None = None
    for replicas, count in ((has, count) for has in (True, False) for count in counts):
        found = place(gpus, wanted, settings, memory_bytes, count, has_replicas=replicas)
        fitting = _count_fitting(found, entries, settings, has_bf16)
        if best is None or fitting > best[0]:
            best = fitting, found
        if fitting == len(entries):
            break
    assert best is not None  # there is a GPU
    return best[1]


def _count_fitting(
    placement: Placement,
    entries: Sequence[BaseModelEntry],
    settings: Settings,
    has_bf16: bool | None,
) -> int:
    """Return how many models' trainings fit on a worker."""
    machine = training_machine(placement, settings, has_bf16)
    shapes = ((entry, read_shape(entry)) for entry in entries)
    return sum(
        shape is None or plan(reference_training(entry, settings), shape, machine).fits
        for entry, shape in shapes
    )


def training_machine(placement: Placement, settings: Settings, has_bf16: bool | None) -> Capacity:
    """Return the capacity that one training may use: that of the largest worker."""
    least = [(min(map(placement.trainer_on, gpus)), len(gpus)) for gpus in placement.workers]
    memory, gpus = max(least)
    return Capacity(
        device="cuda",
        device_name="GPU",
        gpus=min(settings.trainer_gpus or gpus, gpus),
        memory_bytes=memory,
        sharding=settings.trainer_sharding,
        has_bf16=has_bf16,
    )


def reference_training(
    entry: BaseModelEntry, settings: Settings, row_tokens: int = LENGTH
) -> Training:
    """Return the training that plans assume. `row_tokens` is the length of its longest row."""
    length = min(row_tokens, entry.context_length)
    chosen = RESOLVED["supervised"].model_validate(
        {
            "batch_size": BATCH,
            "n_epochs": 1,
            "learning_rate_multiplier": 1,
            "learning_rate": 2e-4,
            "max_seq_length": length,
            "packing": False,
        }
    )
    return Training(chosen, "supervised", length, settings.tokens_at_once)
