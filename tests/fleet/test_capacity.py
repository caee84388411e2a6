"""Tests of detected hardware: this machine's, and recorded driver output of others."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from service.fleet.capacity import (
    installed_gpus,
    measure,
    memory_bytes,
    parse_nvidia_smi,
    read_proc,
    visible,
)
from service.fleet.nvml import Gpu

GIB = 1024**3
MIXED = [Gpu("GPU-aa11", "H100", 80 * GIB), Gpu("GPU-ab22", "L4", 24 * GIB)]


def test_this_machine():
    found = measure({})
    gpus = installed_gpus()
    assert found.gpus == len(gpus)
    assert found.device == ("cuda" if gpus else "cpu")
    assert found.device_name
    if not gpus:
        assert found.memory_bytes == memory_bytes()


def test_no_gpu_is_used_where_the_environment_hides_all():
    assert measure({"CUDA_VISIBLE_DEVICES": ""}).device == "cpu"


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        (None, ["GPU-aa11", "GPU-ab22"]),
        ("", []),
        ("-1", []),
        ("1", ["GPU-ab22"]),
        ("1, 0", ["GPU-ab22", "GPU-aa11"]),
        ("0,7,1", ["GPU-aa11"]),
        ("GPU-ab22", ["GPU-ab22"]),
        ("GPU-ab", ["GPU-ab22"]),
        ("GPU-a", []),
        ("MIG-5c89852c", ["MIG-5c89852c"]),
    ],
)
def test_cuda_visible_devices(chosen, kept):
    assert [gpu.uuid for gpu in visible(MIXED, chosen)] == kept


def test_what_nvidia_smi_prints():
    text = "GPU-aa11, NVIDIA H100 80GB HBM3, 81559\nGPU-gb10, NVIDIA GB10, [N/A]\n"
    assert parse_nvidia_smi(text) == [
        Gpu("GPU-aa11", "NVIDIA H100 80GB HBM3", 81559 * 1024**2),
        Gpu("GPU-gb10", "NVIDIA GB10", None),
    ]
    assert parse_nvidia_smi("") == []


def test_what_the_driver_writes_into_proc(tmp_path: Path):
    folder = tmp_path / "0000:01:00.0"
    folder.mkdir()
    (folder / "information").write_text(
        "Model: \t\t NVIDIA L4\nIRQ:   \t\t 42\nGPU UUID: \t GPU-ab22\nBus Type: \t PCIe\n"
    )
    assert read_proc(tmp_path) == [Gpu("GPU-ab22", "NVIDIA L4", None)]
    assert read_proc(tmp_path / "no-driver") == []


def test_a_cgroups_limit_is_the_memory(tmp_path: Path):
    limit = tmp_path / "memory.max"
    limit.write_text("1073741824\n")
    assert memory_bytes(tmp_path) == GIB
    limit.write_text("max\n")
    assert memory_bytes(tmp_path) == psutil.virtual_memory().total
    assert memory_bytes(tmp_path / "no-cgroups") == psutil.virtual_memory().total
