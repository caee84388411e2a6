"""Tests of the environment of trainers, and that engines do not have it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.training import __main__ as trainer
from service.training.contract.child_process import allocator_variables
from tests.cached import ROOT

# A package `kernels` as others may have installed it: it asks a hub.
KERNELS = """
import socket
print("asks a hub")
try:
    socket.getaddrinfo("hub.example.com", 443)
except OSError:
    pass
"""
# Imports bitsandbytes as on a processor with AVX512-BF16.
IMPORT = """
import ctypes, sys
from pathlib import Path
from types import SimpleNamespace

find = ctypes.CDLL.__getattr__

def __getattr__(library, name):
    return (lambda: 1) if name == "has_avx512bf16_cpu" else find(library, name)

ctypes.CDLL.__getattr__ = __getattr__
if sys.argv[1] == "training":
    from service.training.__main__ import set_environment
    set_environment(Path("out"))
elif sys.argv[1] == "exporting":
    from service.exporting.__main__ import set_environment
    set_environment(SimpleNamespace(work_dir=Path(sys.argv[2]), threads=None))
import bitsandbytes.functional
assert bitsandbytes.functional.has_avx512bf16()
"""


def kernels_program(folder: Path) -> list[str]:
    """Write the program and the package. Returns the command, without the process's name."""
    (folder / "kernels").mkdir()
    (folder / "kernels/__init__.py").write_text(KERNELS)
    (folder / "program.py").write_text(IMPORT)
    return [sys.executable, str(folder / "program.py")]


@pytest.mark.slow
def test_bitsandbytes_fetches_no_kernel_on_any_processor(tmp_path):
    command, env = kernels_program(tmp_path), os.environ | {"PYTHONPATH": str(ROOT)}
    said = {}
    for process in ("training", "exporting"):
        done = subprocess.run(
            [*command, process, str(tmp_path)], env=env, check=True, capture_output=True, text=True
        )
        said[process] = done.stdout + done.stderr
    assert said == {"training": "", "exporting": ""}


def test_memory_of_a_gpu_grows_in_segments(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {})
    trainer.set_environment(tmp_path)
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"


@pytest.mark.parametrize("name", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_the_operators_allocator_stays(name):
    assert allocator_variables({name: "max_split_size_mb:512"}) == {}


def cuda_fails(torch, monkeypatch):
    text = "The NVIDIA driver on your system is too old (found version 12080). Please update it"

    def init():
        raise RuntimeError(text)

    monkeypatch.setattr(torch.cuda, "init", init)


def cuda_has_no_kernels(torch, monkeypatch):
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "compute_120"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (cuda_fails, "The NVIDIA driver on your system is too old (found version 12080). On"),
        (cuda_has_no_kernels, "it has compute capability 7.0, and this torch has kernels from 7.5"),
    ],
)
def test_a_run_that_was_planned_for_a_gpu_does_not_take_the_cpu(monkeypatch, prepare, reason):
    import torch

    from service.training.contract.failures import TrainingFailure
    from service.training.model.models import choose_device

    prepare(torch, monkeypatch)
    with pytest.raises(TrainingFailure) as caught:
        choose_device("cuda")
    assert caught.value.code == "gpu_unavailable"
    assert reason in caught.value.message
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cpu").type == "cpu"


def test_gpus_have_the_numbers_of_nvml(monkeypatch, tmp_path):
    """A worker names them as NVML numbers them; by itself, CUDA numbers the fastest 0."""
    monkeypatch.setattr(os, "environ", {})
    trainer.set_environment(tmp_path)
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
