"""Classifies the failures that end a run, by codes that the owner of the job can act on.

`TrainingFailure` is raised where the cause is known. `classify` maps exceptions that libraries
raise from anywhere. The text of an unknown exception never leaves the process, because it may
contain training text.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.training.contract.protocol import FailureCode

_LOW_DISK_BYTES: Final = 64 * 2**20

OUT_OF_MEMORY_ADVICE: Final = (
    "Lower max_seq_length or tokens_at_once, set gradient_checkpointing, choose quantization "
    '"nf4", or use a smaller base model.'
)


class TrainingFailure(Exception):
    """The run cannot continue. `message` says what failed, where, and how to fix it."""

    def __init__(
        self,
        code: FailureCode,
        message: str,
        *,
        param: str | None = None,
        suggested_tokens_at_once: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message
        self.param: Final = param
        self.suggested_tokens_at_once: Final = suggested_tokens_at_once


def classify(error: BaseException, *, doing: str, output_dir: Path) -> TrainingFailure:
    """Map `error` to a failure. `doing` describes the current phase in our own words.

    torch errors are recognized by names and messages, so that this works before torch is imported.
    """
    if isinstance(error, TrainingFailure):
        return error
    if is_out_of_memory(error):
        return TrainingFailure(
            "out_of_memory", f"Not enough memory while {doing}. {OUT_OF_MEMORY_ADVICE}"
        )
    if _is_disk_full(error, output_dir):
        return TrainingFailure(
            "disk_full",
            f"The worker's disk is full: nothing more could be written while {doing}.",
        )
    if isinstance(error, RuntimeError):
        for code, words in _GPU_FAULTS.items():
            if found := next((text for text in words if text in str(error)), None):
                return TrainingFailure(code, f"The GPU failed while {doing}: {found}.")
    if type(error).__name__ in _RANK_ERRORS or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _RANK_TEXTS)
    ):
        return TrainingFailure(
            "interrupted",
            f"A process of the training lost the others while {doing}, or waited for them longer "
            "than FINETUNED_TRAINER_RANK_TIMEOUT_S.",
        )
    return TrainingFailure("internal_error", f"Unexpected {type(error).__name__} while {doing}.")


# CUDA's errors, which end all work of a process on its GPU. The first ones have no other cause than
# the GPU, or its driver; with the others, the GPU may work again. Errors of a kernel, such as an
# illegal memory access, are not here: the next attempt would make the same ones.
_GPU_FAULTS: Final[Mapping[FailureCode, tuple[str, ...]]] = {
    "gpu_unavailable": (
        "uncorrectable ECC error encountered",
        "uncorrectable NVLink error",
        "GPU is lost",
        "no CUDA-capable device is detected",
        "CUDA-capable device(s) is/are busy or unavailable",
        "no kernel image is available for execution on the device",
        "driver version is insufficient for CUDA runtime version",
    ),
    "interrupted": (
        "hardware stack error",
        "the launch timed out and was terminated",
        "unspecified launch failure",
        "CUDA error: unknown error",
    ),
}

# Errors of communication between ranks: NCCL's and the store's, and gloo's, which has no type.
_RANK_ERRORS: Final = ("DistBackendError", "DistNetworkError", "DistStoreError")
_RANK_TEXTS: Final = ("Timed out waiting", "Connection closed by peer", "Connection reset by peer")

# torch has an exception type only for its own allocator of GPU memory. The libraries below it each
# word the error differently.
_OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "bad_alloc",
    "Cannot allocate memory",
    "unable to mmap",
    "could not create a primitive",
    "can't start new thread",
    # "CUDA out of memory" (torch), "CUDA error: out of memory" (the CUDA runtime, as
    # torch.AcceleratorError), "CUDA driver error: out of memory" (expandable segments), "Cuda
    # failure 2 'out of memory'" (NCCL), and the same of other devices.
    "out of memory",
    "cudaErrorMemoryAllocation",
    "STATUS_ALLOC_FAILED",  # of cuBLAS, cuBLASLt, cuDNN and cuSOLVER
    "DEVICE_ALLOCATION_FAILED",  # cuDNN 9
)
# bitsandbytes' kernels print CUDA's error and exit with 1, so Python sees no exception.
_PRINTED_OUT_OF_MEMORY = re.compile(r"^Error out of memory at line \d+ in file ", re.MULTILINE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on the host or on a device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)


def has_printed_out_of_memory(stderr: str) -> bool:
    """Whether the output of a process that ended without a message says that memory ran out."""
    return _PRINTED_OUT_OF_MEMORY.search(stderr) is not None


def _is_disk_full(error: BaseException, output_dir: Path) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(error)
    if "No space left on device" in text or "os error 28" in text:  # safetensors
        return True
    # torch.save reports a failed write without its cause, so check the free disk space.
    if isinstance(error, RuntimeError) and (
        "PytorchStreamWriter" in text or "unexpected pos" in text
    ):
        return _free_bytes(output_dir) < _LOW_DISK_BYTES
    return False


def _free_bytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
