"""Limits memory, fits the micro-batch size to free memory, and advises when memory runs out."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, Protocol, cast

import torch
from transformers import core_model_loading

from service.training.contract.failures import TrainingFailure, is_out_of_memory
from service.training.contract.spec import TrainSpec, tokens_at_once
from service.training.loop.estimate import (
    OVERHEAD_BYTES,
    Device,
    estimate_memory,
    loaded_bytes,
)
from service.training.model.models import ComputeDevice
from service.training.model.shape import Dtype, ModelShape, UnknownShape
from service.training.parallel.ranks import Ranks

_MIB: Final = 2**20


def limit_memory(limit_bytes: int | None, device: str) -> None:
    """Make allocations beyond the limit fail, so that the run can report it.

    On CUDA, this limits the device's memory. Elsewhere, it limits this process; call it once the
    libraries are loaded.

    Linux can limit the writable address space of a process, much of which is never touched (1.5 GB
    after the imports, of which 0.6 GB is resident). The limit therefore applies to growth from this
    point on.
    """
    if limit_bytes is None:
        return
    if device == "cuda":
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total))
    elif sys.platform == "linux":
        growth_bytes = limit_bytes - _status_bytes("VmRSS")
        soft_limit_bytes = max(_status_bytes("VmData") + growth_bytes, 0)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (soft_limit_bytes, hard))


def peak_memory_bytes(device: str) -> int:
    """Return the peak memory of the CUDA device, or the peak resident memory of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "linux":
        # Do not use ru_maxrss: in a child process it starts at the size of the parent.
        return _status_bytes("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _status_bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


@contextmanager
def raise_conversion_errors() -> Iterator[None]:
    """Raise errors of transformers' conversion of weights, which include their quantization.

    transformers catches them, and raises an error at the end that does not name the cause.
    """
    catching = core_model_loading.log_conversion_errors
    core_model_loading.log_conversion_errors = _raise_errors
    try:
        yield
    finally:
        core_model_loading.log_conversion_errors = catching


def _raise_errors(*_: Any, **__: Any) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def report_out_of_memory(
    spec: TrainSpec, device: str, part: Callable[[], tuple[int, int]]
) -> Iterator[None]:
    """Turn out-of-memory errors inside the block into `out_of_memory` failures.

    `part` returns the number of positions computed last and the length of the longest row or sample
    among them, or (0, 0) before the first.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory_failure(spec, part(), device) from error
        raise


def out_of_memory_failure(spec: TrainSpec, part: tuple[int, int], device: str) -> TrainingFailure:
    """Return the failure of a run whose `part` (positions, length of the longest) did not fit."""
    positions, longest = part
    least = longest * spec.training_method.rows_per_sample
    smaller = positions // 2
    if device == "cuda":  # whose parts may be four times as large as usual
        smaller = min(smaller, tokens_at_once(device))
    halved = max(smaller, least) if positions > least else None
    had = f"{peak_memory_bytes(device) / _MIB:,.0f} MiB were in use"
    if spec.max_memory_bytes:
        had += f" of the {spec.max_memory_bytes / _MIB:,.0f} MiB allowed"
    if not positions:
        advice = 'Choose quantization "nf4", or use a smaller base model.'
    elif halved:
        budget = spec.budget(device)
        advice = f"Set tokens_at_once to {halved} (it is {budget}), with the same result."
    else:
        length = spec.hyperparameters.max_seq_length
        advice = f"Set max_seq_length to {max(longest // 2, 8)} (it is {length})."
        if not spec.gradient_checkpointing:
            advice = f"Set gradient_checkpointing. Otherwise: {advice}"
    what = "for the base model"
    if positions:
        what = f"for {positions} tokens at once, of which the longest row has {longest}"
    return TrainingFailure(
        "out_of_memory",
        f"Not enough memory {what}: {had}. {advice}",
        suggested_tokens_at_once=halved,
    )


# Of the free memory; as in the plan, the rest covers the allocator and the error of the estimate.
_USABLE: Final = 0.9


class _Sized(Protocol):
    @property
    def length(self) -> int: ...


def free_bytes(spec: TrainSpec) -> int:
    """Return the GPU memory that this process may still use."""
    free, _ = torch.cuda.mem_get_info()
    reserved = torch.cuda.memory_reserved()
    free += reserved - torch.cuda.memory_allocated()
    if spec.max_memory_bytes is not None:
        free = min(free, spec.max_memory_bytes - torch.cuda.memory_allocated())
    return max(free, 0)


def largest_fitting_tokens(
    spec: TrainSpec, longest: int, free: int, *, device: Device, dtype: Dtype
) -> int:
    """Return the planned number of tokens, or the largest of its halves that fits.

    `longest` is the length of the longest sample, which goes through the model as a whole even if
    it does not fit.
    """
    planned = spec.budget(device)
    try:
        shape = ModelShape.read(spec.base_model_path)
    except UnknownShape:
        return planned
    least = longest * spec.training_method.rows_per_sample
    tokens = planned
    chosen = spec.hyperparameters
    loaded = loaded_bytes(shape, chosen.quantization, dtype) + OVERHEAD_BYTES[device]
    while tokens > least:
        estimate = estimate_memory(
            shape,
            chosen,
            method=spec.training_method.name,
            longest=longest,
            tokens_at_once=tokens,
            gradient_checkpointing=spec.gradient_checkpointing,
            kept_layers=spec.kept_layers,
            inputs_on_host=spec.inputs_on_host,
            device=device,
            dtype=dtype,
            gpus=spec.gpus,
        )
        needed = estimate.total - estimate.adapter - loaded
        if needed <= _USABLE * free:
            break
        tokens = max(tokens // 2, least)
    return tokens


def fit_tokens(
    spec: TrainSpec, device: ComputeDevice, ranks: Ranks, samples: Sequence[_Sized]
) -> tuple[TrainSpec, str | None]:
    """Return the spec for the memory that is free now, and the reason if it differs.

    All ranks take the same number, so that they compute the same number of parts.
    """
    if device.type != "cuda" or spec.sharding == "fsdp":
        return spec, None
    # Prompts get answers.
    longest = max(sample.length for sample in samples) + spec.longest_answer
    free = free_bytes(spec)
    found = largest_fitting_tokens(
        spec, longest, free, device="cuda", dtype=cast("Dtype", device.dtype_name)
    )
    tokens, planned = ranks.least(found), spec.budget(device.type)
    if tokens >= planned:
        return spec, None
    reason = (
        f"At most {tokens:,} tokens go through the model at once instead of {planned:,}: only "
        f"{free / 2**30:.1f} GiB of the GPU's memory are free. The result is the same."
    )
    return spec.model_copy(update={"tokens_at_once": tokens}), reason
