"""How much memory the run may take, took, and what to do when that was not enough."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch

from service.training.contract.failures import TrainingFailure, is_out_of_memory
from service.training.contract.spec import TrainSpec

_MIB: Final = 2**20


def limit_memory(limit_bytes: int | None, device: str) -> None:
    """Has allocations beyond the limit fail, so that the run can tell of it: on CUDA of the
    device's memory, elsewhere of this process, once the libraries are loaded.

    Linux can bound the address space that a process may write to, of which much is never
    touched (1.5 GB of it after the imports, of which 0.6 are resident). So what is bounded is
    how far it grows from here.
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
    """The most that was allocated on the CUDA device, or resident of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "linux":
        # Not ru_maxrss, which a child begins with the size of its parent.
        return _status_bytes("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _status_bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


@contextmanager
def telling_of_memory(
    spec: TrainSpec, device: str, part: Callable[[], tuple[int, int]]
) -> Iterator[None]:
    """Has what does not fit in memory end as `out_of_memory`. `part` gives the positions that
    were computed last, and those of the longest row or sample of them: (0, 0) before the
    first."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise out_of_memory(spec, part(), device) from error
        raise


def out_of_memory(spec: TrainSpec, part: tuple[int, int], device: str) -> TrainingFailure:
    """The failure of a run whose `part` (positions, of the longest) did not fit."""
    positions, longest = part
    least = longest * (2 if spec.method == "dpo" else 1)
    halved = max(positions // 2, least) if positions > least else None
    had = f"{peak_memory_bytes(device) / _MIB:,.0f} MiB were in use"
    if spec.max_memory_bytes:
        had += f" of the {spec.max_memory_bytes / _MIB:,.0f} MiB allowed"
    if not positions:
        advice = 'Choose quantization "nf4", or take a smaller base model.'
    elif halved:
        budget = spec.budget(device)
        advice = f"Set tokens_at_once to {halved} (it is {budget}), with the same result."
    else:
        advice = f"Set max_seq_length to {max(longest // 2, 8)} (it is {spec.max_seq_length})."
        if not spec.gradient_checkpointing:
            advice = f"Set gradient_checkpointing. Else: {advice}"
    what = "for the base model"
    if positions:
        what = f"for {positions} tokens at once, of which the longest row has {longest}"
    return TrainingFailure(
        "out_of_memory",
        f"Not enough memory {what}: {had}. {advice}",
        suggested_tokens_at_once=halved,
    )
