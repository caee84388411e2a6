"""Memory limits, peak memory use, and advice for a run that did not fit."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import torch
from transformers import core_model_loading

from service.training.contract.failures import TrainingFailure, is_out_of_memory
from service.training.contract.spec import TrainSpec, tokens_at_once

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
    """Peak memory allocated on the CUDA device, or peak resident memory of this process."""
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
def conversion_errors() -> Iterator[None]:
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
def memory_errors(
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
            raise out_of_memory(spec, part(), device) from error
        raise


def out_of_memory(spec: TrainSpec, part: tuple[int, int], device: str) -> TrainingFailure:
    """Failure for a run whose `part` (number of positions, length of the longest) did not fit."""
    positions, longest = part
    least = longest * spec.of_method.rows_per_sample
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
