import errno
from operator import attrgetter
from pathlib import Path

import pytest

from service.training.contract.failures import (
    TrainingFailure,
    classify,
    has_printed_out_of_memory,
)

pytestmark = pytest.mark.slow


def code_of(error, output_dir=Path("/")):
    return classify(error, doing="training", output_dir=output_dir).code


def test_a_full_disk():
    with pytest.raises(OSError) as caught, Path("/dev/full").open("w") as full:
        full.write("x" * 100_000)
    assert caught.value.errno == errno.ENOSPC
    assert code_of(caught.value) == "disk_full"


def test_a_full_disk_as_safetensors_tells_it():
    from safetensors import SafetensorError

    error = SafetensorError(
        "Error while serializing: I/O error: No space left on device (os error 28)"
    )
    assert code_of(error) == "disk_full"


def test_memory_that_the_cpu_does_not_have():
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    failure = classify(caught.value, doing="training", output_dir=Path("/"))
    assert failure.code == "out_of_memory"
    assert "gradient_checkpointing" in failure.message


# As torch's allocator, the CUDA runtime and its driver, and the libraries on top of them word it.
ON_A_GPU = {
    "OutOfMemoryError": [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB"
    ],
    "AcceleratorError": [
        "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in "
        "https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html"
    ],
    "RuntimeError": [
        "CUDA driver error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "Triton Error [CUDA]: out of memory",
    ],
    "distributed.DistBackendError": [
        "NCCL error in: ProcessGroupNCCL.cpp:3690, unhandled cuda error, NCCL version 2.27.5\n"
        "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\n"
        "Cuda failure 2 'out of memory'"
    ],
}


@pytest.mark.parametrize("kind", ON_A_GPU)
def test_memory_that_a_gpu_does_not_have(kind):
    import torch

    error = attrgetter(kind)(torch) if kind != "RuntimeError" else RuntimeError
    for text in ON_A_GPU[kind]:
        assert code_of(error(text)) == "out_of_memory", text


def test_other_errors_of_a_gpu_are_internal():
    import torch

    for text in (
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(…)`",
    ):
        assert code_of(torch.AcceleratorError(text)) == "internal_error"


@pytest.mark.parametrize(
    ("kind", "text", "code"),
    [
        ("AcceleratorError", "CUDA error: uncorrectable ECC error encountered", "gpu_unavailable"),
        ("RuntimeError", "CUDA error: no CUDA-capable device is detected", "gpu_unavailable"),
        ("AcceleratorError", "CUDA error: unspecified launch failure", "interrupted"),
        ("DistBackendError", "NCCL error in: ProcessGroupNCCL.cpp:94", "interrupted"),
        ("RuntimeError", "[gloo] Timed out waiting 20000ms for recv operation", "interrupted"),
    ],
)
def test_a_gpu_that_fails_is_not_the_fault_of_the_job(kind, text, code):
    failure = classify(
        type(kind, (RuntimeError,), {})(text), doing="training", output_dir=Path("/")
    )
    assert failure.code == code
    assert failure.message.count("training") >= 1


def test_bitsandbytes_prints_that_memory_ran_out():
    """Its kernels end the process, so what they print is all that is known."""
    import bitsandbytes

    libraries = list(Path(bitsandbytes.__file__).parent.glob("libbitsandbytes_cuda*.so"))
    assert libraries
    words = b"Error %s at line %d in file %s\n"
    assert all(words in library.read_bytes() for library in libraries)
    printed = words.decode() % ("out of memory", 87, "/src/csrc/ops.cu")
    assert has_printed_out_of_memory(f"loading the base model\n{printed}")
    illegal = words.decode() % ("an illegal memory access was encountered", 87, "/src/csrc/ops.cu")
    assert not has_printed_out_of_memory(illegal)


def test_memory_that_the_host_does_not_have():
    assert code_of(MemoryError()) == "out_of_memory"
    assert code_of(OSError(errno.ENOMEM, "Cannot allocate memory")) == "out_of_memory"


def test_a_failed_write_of_torch_is_a_full_disk_only_where_the_disk_is_full(tmp_path):
    error = RuntimeError("[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed")
    assert code_of(error, tmp_path) == "internal_error"


def test_the_text_of_an_unknown_exception_is_not_told():
    failure = classify(ValueError("secret row"), doing="training", output_dir=Path("/"))
    assert failure.code == "internal_error"
    assert failure.message == "Unexpected ValueError while training."


def test_a_known_failure_stays_itself():
    failure = TrainingFailure("loss_not_finite", "x")
    assert classify(failure, doing="training", output_dir=Path("/")) is failure
