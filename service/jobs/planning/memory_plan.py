"""Memory planning: whether a training fits a machine, with which settings, and what would help.

Pure functions. Splitting a batch into parts and gradient checkpointing do not change the result, so
this module chooses them. Changes that affect the result are only suggested.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from service.fleet.workers import Capacity
from service.jobs.records import MemorySettings
from service.training.contract.hyperparameters import Resolved
from service.training.contract.methods import METHODS, MethodName
from service.training.contract.spec import Sharding, most_tokens_at_once, tokens_at_once
from service.training.loop.estimate import (
    Device,
    MemoryEstimate,
    estimate_memory,
    host_bytes,
    loaded_bytes,
)
from service.training.model.shape import Dtype, ModelShape, dtype_of

_UNLIMITED = MemorySettings()
# The share of a device's memory that a training may use. The rest covers the driver, the allocator
# and the error of the estimate (within 20% where it was measured).
_USABLE = 0.9
# The same for parts that are larger than the default. They gain a few percent of the time at most,
# which is less than an attempt costs that runs out of memory.
_AMPLE = 0.75
# How many tokens take as long to compute as the weights take to be read, and converted from NF4: an
# order of magnitude for GPUs.
_TOKENS_PER_READ = 200
# A trainer process without model and data: torch, transformers, TRL.
_IMPORTS_BYTES = 700 * 2**20
_MIN_LENGTH = 64
MOST_RETRIES = 4
"""Retries of a job that runs out of memory; each starts again from the newest checkpoint.

The first one takes parts of 16,384 tokens to the default of a GPU (4,096), and the others to 512.
"""


@dataclass(frozen=True)
class Training:
    """A training to plan. `longest` is the longest row in tokens, or None if unknown."""

    chosen: Resolved
    method: MethodName
    longest: int | None
    tokens_at_once: int | None  # None if the memory of the device decides

    @property
    def length(self) -> int:
        """Length in tokens of the longest row that the model will see."""
        requested = self.chosen.max_seq_length
        return requested if self.longest is None else max(min(requested, self.longest), _MIN_LENGTH)


@dataclass(frozen=True)
class MemoryPlan:
    """Settings of a training on a machine, and its memory there in bytes.

    With several `gpus`, `memory`, `needed` and `available` are those of each. `host_bytes` is what
    the training takes of the machine's own memory: for loading, if the base model is sharded, and
    for the inputs of layers, if they are kept there. `host_available` is what it may take.
    """

    memory: MemoryEstimate
    needed: int
    available: int | None  # None if the machine does not report it
    tokens_at_once: int
    gradient_checkpointing: bool
    inputs_on_host: bool
    gpus: int
    sharding: Sharding
    host_bytes: int | None = None
    kept_layers: int = 0
    host_available: int | None = None  # None if the machine does not report it

    @property
    def fits(self) -> bool:
        """Whether the training fits. True if the available memory is unknown."""
        return self.fits_host and (self.available is None or self.needed <= self.available)

    @property
    def fits_host(self) -> bool:
        """Whether the machine's own memory suffices. True if that is unknown."""
        return self.host_available is None or (self.host_bytes or 0) <= self.host_available

    @property
    def room(self) -> float:
        """Memory in bytes that the training leaves free. Infinite if unknown."""
        return float("inf") if self.available is None else self.available - self.needed

    @property
    def settings(self) -> MemorySettings:
        """The settings as a job has them."""
        return MemorySettings(
            self.tokens_at_once,
            self.gradient_checkpointing,
            self.inputs_on_host,
            self.sharding_used,
            self.kept_layers,
        )

    @property
    def sharding_used(self) -> Sharding | None:
        """How several GPUs share the training; None for one GPU."""
        return self.sharding if self.gpus > 1 else None


def plan(
    training: Training,
    shape: ModelShape,
    machine: Capacity,
    limits: MemorySettings = _UNLIMITED,
) -> MemoryPlan:
    """Return the fastest plan that fits the machine, or else the one tried last, the smallest.

    `limits` are the largest settings to try, after larger ones ran out of memory.
    """
    candidates: list[MemoryPlan] = []
    for sharding in _shardings(training, machine, limits):
        for group in _settings_to_try(training, machine.device, limits):
            candidates = [_plan(training, shape, machine, each, sharding) for each in group]
            fitting = [c for c in candidates if _has_room(c, training, machine)]
            if not limits.gradient_checkpointing:
                fitting = [_keeping_most(c, training, shape, machine) for c in fitting]
            if fitting:
                return min(fitting, key=lambda found: _relative_time(found, shape))
    return candidates[-1]


def _has_room(candidate: MemoryPlan, training: Training, machine: Capacity) -> bool:
    """Return whether a plan fits. Parts that are larger than usual must also leave some memory."""
    usual = max(tokens_at_once(machine.device), _least(training))
    if training.tokens_at_once is not None or candidate.tokens_at_once <= usual:
        return candidate.fits
    known = machine.memory_bytes
    return candidate.fits and known is not None and candidate.needed <= _AMPLE * known


def _keeping_most(
    found: MemoryPlan, training: Training, shape: ModelShape, machine: Capacity
) -> MemoryPlan:
    """Return the plan in which as many layers as fit keep their activations."""
    if not found.gradient_checkpointing or found.inputs_on_host:
        return found

    def keeping(layers: int) -> MemoryPlan:
        settings = _Settings(found.tokens_at_once, True, False, layers)
        return _plan(training, shape, machine, settings, found.sharding)

    most = bisect(
        range(1, shape.layers),
        False,
        key=lambda layers: not _has_room(keeping(layers), training, machine),
    )
    return keeping(most)


def _relative_time(found: MemoryPlan, shape: ModelShape) -> float:
    """Return the time of a step relative to other plans, without what they have in common.

    The forward pass, the backward pass, which computes no gradients of frozen weights, and the
    recomputation take the same time. Each part of a batch reads the weights again.
    """
    recomputed = 1 - found.kept_layers / shape.layers if found.gradient_checkpointing else 0
    return (2 + recomputed) * (1 + _TOKENS_PER_READ / found.tokens_at_once)


def fits(training: Training, shape: ModelShape, machine: Capacity, limits: MemorySettings) -> bool:
    """Return whether `plan` finds one that fits. Faster: only the smallest plans are computed."""
    # Inputs on the host need the memory of another place.
    places = (False, True) if machine.device == "cuda" else (False,)
    return any(
        _plan(training, shape, machine, _Settings(_least(training), True, place), sharding).fits
        for sharding in _shardings(training, machine, limits)
        for place in places
    )


def _shardings(
    training: Training, machine: Capacity, limits: MemorySettings
) -> tuple[Sharding, ...]:
    """Return the ways to use the GPUs. Sharding is slower, so it comes last."""
    if not machine.shards(training.chosen.batch_size):
        return ("ddp",)
    return ("fsdp",) if "fsdp" in (machine.sharding, limits.sharding) else ("ddp", "fsdp")


class Advice(NamedTuple):
    """Advice on the change to a job that would make it fit. `settings` is empty if none does."""

    text: str
    settings: dict[str, Any]


def advice(training: Training, shape: ModelShape, machine: Capacity) -> Advice:
    """Return advice on the change to the job that would make it fit this machine."""
    tried: list[tuple[str, dict[str, Any]]] = []
    quantized = {} if training.chosen.quantization == "nf4" else {"quantization": "nf4"}
    if quantized:
        tried.append(('set quantization to "nf4"', quantized))
    if (gpus := machine.gpus) > training.chosen.batch_size and machine.sharding != "ddp":
        words = f"set batch_size to {gpus}, so that {gpus} GPUs share the base model"
        tried.append((words, {"batch_size": gpus}))
    length = training.length // 2
    while length >= _MIN_LENGTH:
        words = f"set max_seq_length to {length}"
        if quantized:
            words = f'set quantization to "nf4" and max_seq_length to {length}'
        tried.append((words, {**quantized, "max_seq_length": length}))
        length //= 2
    for words, settings in tried:
        if plan(_with(training, **settings), shape, machine).fits:
            return Advice(f"To make it fit, {words}.", settings)
    return Advice("No setting makes it fit: use a smaller base model or a larger machine.", {})


def _with(training: Training, **fields: object) -> Training:
    return Training(
        training.chosen.model_copy(update=fields),
        training.method,
        training.longest,
        training.tokens_at_once,
    )


class _Settings(NamedTuple):
    """Settings of a training that decide what it keeps for the backward pass."""

    tokens_at_once: int
    gradient_checkpointing: bool
    inputs_on_host: bool
    kept_layers: int = 0


def _settings_to_try(
    training: Training, device: Device, limits: MemorySettings
) -> Iterator[list[_Settings]]:
    """Yield the settings to try, the smaller ones last. Those of a list differ only in speed."""
    least = _least(training)
    most = training.tokens_at_once or most_tokens_at_once(device)
    least_kept = (limits.gradient_checkpointing, limits.inputs_on_host and device == "cuda")
    tokens, sizes = max(min(most, limits.tokens_at_once or most), least), []
    while tokens > least:
        sizes.append(tokens)
        tokens //= 2
    sizes.append(least)
    for group in ([(False, False), (True, False)], [(True, True)] if device == "cuda" else []):
        if allowed := [kept for kept in group if kept >= least_kept]:
            yield [_Settings(size, *kept) for kept in allowed for size in sizes]


def _least(training: Training) -> int:
    """Return the tokens of the longest sample, which goes through the model as a whole."""
    return METHODS[training.method].rows_per_sample * training.length


def _plan(
    training: Training,
    shape: ModelShape,
    machine: Capacity,
    settings: _Settings,
    sharding: Sharding,
) -> MemoryPlan:
    gpus = machine.gpus_for(training.chosen.batch_size)
    # Most GPUs have bfloat16, so those of which it is unknown are taken to have it.
    dtype = dtype_of(machine.device, shape.model_type, has_bf16=machine.has_bf16 is not False)
    memory = estimate_memory(
        shape,
        training.chosen,
        method=training.method,
        longest=training.length,
        device=machine.device,
        dtype=dtype,
        gpus=gpus,
        sharding=sharding,
        **settings._asdict(),
    )
    known, host = machine.memory_bytes, machine.host_memory_bytes
    return MemoryPlan(
        memory=memory,
        needed=memory.total + (_IMPORTS_BYTES if machine.device == "cpu" else 0),
        available=None if known is None else int(known * _USABLE),
        gpus=gpus,
        sharding=sharding,
        host_bytes=_host_bytes(training, shape, settings, sharding, gpus, dtype),
        host_available=None if host is None else int(host * _USABLE) - gpus * _IMPORTS_BYTES,
        **settings._asdict(),
    )


def _host_bytes(
    training: Training,
    shape: ModelShape,
    settings: _Settings,
    sharding: Sharding,
    gpus: int,
    dtype: Dtype,
) -> int | None:
    """Return the most memory of the machine that loading, or then a step, takes, if any does."""
    loading = loaded_bytes(shape, training.chosen.quantization, dtype)  # one process at a time
    inputs = host_bytes(
        shape,
        training.chosen,
        method=training.method,
        longest=training.length,
        tokens_at_once=settings.tokens_at_once,
        dtype=dtype,
        gpus=gpus,
    )
    found = (loading if sharding == "fsdp" else 0, inputs if settings.inputs_on_host else 0)
    return max(found) or None


def smaller_plan(
    *,
    retries: int,
    gradient_checkpointing: bool,
    suggested_tokens: int | None,
    can_move_inputs: bool = False,
    can_shard: bool = False,
) -> MemorySettings | None:
    """Return a plan that needs less memory, or None if there is none or enough were tried.

    Settings that are None or false in it remain unchanged. `retries` and `gradient_checkpointing`
    are those of the attempt that failed, and `suggested_tokens` is what its trainer suggested. The
    first retry only reduces the part of a batch that is in the model at once, which is nearly as
    fast. Later ones also use gradient checkpointing, which is slower but saves most of the rest. If
    a single row is still too long, the inputs of its layers can move to the host, if that is
    another memory (`can_move_inputs`). If `can_shard`, the base model can still be sharded, which
    is slowest: in the last retry, or when nothing else is left.
    """
    if retries >= MOST_RETRIES:
        return None
    sharding: Sharding | None = "fsdp" if can_shard and retries == MOST_RETRIES - 1 else None
    if suggested_tokens is not None:
        checkpointing = gradient_checkpointing or retries > 0
        return MemorySettings(suggested_tokens, checkpointing, sharding=sharding)
    if not gradient_checkpointing:
        return MemorySettings(None, True, sharding=sharding)
    if can_move_inputs:
        return MemorySettings(None, True, inputs_on_host=True, sharding=sharding)
    return MemorySettings(None, True, sharding="fsdp") if can_shard else None


def describe_settings(plan: MemorySettings) -> str:
    """Return how the next attempt continues, for an event."""
    parts = []
    if plan.tokens_at_once is not None:
        parts.append(f"at most {plan.tokens_at_once:,} tokens in the model at a time")
    if plan.gradient_checkpointing:
        parts.append("gradient checkpointing")
    if plan.inputs_on_host:
        parts.append("the inputs of layers in the machine's memory")
    if plan.sharding == "fsdp":
        parts.append("the base model divided among several GPUs")
    return "with " + _join(parts)


def _join(parts: list[str]) -> str:
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last
