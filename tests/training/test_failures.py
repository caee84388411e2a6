import errno
from pathlib import Path

import pytest

from service.training.contract.failures import TrainingFailure, classify

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


def test_memory_that_a_gpu_does_not_have():
    import torch

    assert code_of(torch.OutOfMemoryError("CUDA out of memory.")) == "out_of_memory"
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
