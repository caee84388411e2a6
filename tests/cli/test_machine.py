"""Tests of the checks of a machine, each under the condition that it reports."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import machine
from service.cli.app import app
from service.config import GIB
from service.diagnostics import gpus
from service.fleet.capacity import parse_driver_version
from service.fleet.nvml import Gpu
from tests.small_disk import small_disk
from tests.standalone.models import folder_with

HEADERS = Path(sysconfig.get_paths()["include"])


def test_a_cache_that_is_mounted_noexec_is_reported(tmp_path):
    """Docker mounts `--tmpfs /tmp` so, and Triton then cannot load what it has compiled."""
    with small_disk(tmp_path / "tmp", "1m,noexec") as folder:
        found = machine.noexec(machine.cache_folders({"TRITON_CACHE_DIR": f"{folder}/triton"}))
    assert (found.level, found.code) == ("missing", "cache_noexec")
    assert "/tmp:exec" in found.how
    assert "TRITON_CACHE_DIR" in found.how
    with small_disk(tmp_path / "other", "1m") as folder:
        assert machine.noexec({"TRITON_CACHE_DIR": folder}).code == "cache_exec"


def test_a_small_shared_memory_is_reported(tmp_path):
    """64 MiB is what Docker gives a container."""
    with small_disk(tmp_path / "shm", "64m") as folder:
        one, two = (machine.shared_memory(folder, gpus) for gpus in (1, 2))
    assert {one.code, two.code} == {"shared_memory_small"}
    assert (one.level, two.level) == ("note", "missing")
    assert one.found.startswith("64 MiB")


VERSION_FILE = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {version}  Release Build  (dvs-builder)
GCC version:  gcc version 13.3.0 (Ubuntu 13.3.0-6ubuntu2)
"""


@pytest.mark.parametrize(
    ("version", "cuda", "code"),
    [
        ("580.65.06", (13, 0), "gpu_driver_ok"),
        ("570.124.06", (13, 0), "gpu_driver_old"),
        ("570.124.06", (12, 8), "gpu_driver_ok"),
        ("580.65.06", None, "torch_without_cuda"),  # the CPU build of torch
    ],
)
def test_the_driver_is_compared_with_the_cuda_of_torch(version, cuda, code):
    read = parse_driver_version(VERSION_FILE.format(version=version))
    assert read == version
    (found,) = gpus.driver(read, cuda)
    assert found.code == code
    if code == "gpu_driver_old":  # with the library of a forward-compatibility package
        assert gpus.driver(read, cuda, 13)[0].code == "gpu_driver_ok"


def test_the_pinned_torch_needs_the_driver_that_the_docs_name():
    """A lock with another major version of CUDA needs other limits here and on the pages."""
    lock = Path("requirements/locks/torch.txt").read_text("ascii")
    assert "\ncuda-toolkit==13." in lock
    for page in ("docs/first-hour-on-a-gpu.md", "docs/images.md"):
        assert "driver 580" in Path(page).read_text("utf-8")


def test_gpus_without_kernels_in_torch_are_reported():
    old, new = (
        Gpu("GPU-1", "Tesla V100", 16 * GIB, (7, 0)),
        Gpu("GPU-2", "Tesla T4", 16 * GIB, (7, 5)),
    )
    (found,) = gpus.compute_capability([new, old], (13, 0))
    assert found.code == "gpu_too_old"
    assert "Tesla V100 has 7.0" in found.found
    assert gpus.compute_capability([new], (13, 0)) == []
    assert gpus.compute_capability([old], (12, 8)) == []


def test_the_compiler_is_tried(tmp_path):
    assert machine.compiler(str(tmp_path), HEADERS).code == "compiler_missing"
    found = machine.compiler(os.environ["PATH"], tmp_path)
    if found.code == "compiler_missing":
        pytest.skip("this machine has no C compiler")
    assert found.code == "compiler_fails"
    assert "Python.h" in found.found
    if (HEADERS / "Python.h").is_file():
        assert machine.compiler(os.environ["PATH"], HEADERS).code == "compiler_ok"


def test_the_disk_is_measured_and_judged(tmp_path):
    (found,) = machine.disk_speed(tmp_path / "not-yet")
    assert "ms to sync a write" in found.found
    assert list(tmp_path.iterdir()) == []
    assert machine.disk_speed(Path("/proc")) == []
    assert machine.judge_disk(tmp_path, 40.0, 500).code == "disk_sync_slow"
    assert machine.judge_disk(tmp_path, 2.0, 30).code == "disk_slow"


def test_an_unsynchronized_clock_is_a_note():
    codes = [found.code for state in (0, 5, -1) for found in machine.clock(state)]
    assert codes == ["clock_ok", "clock_unsynchronized"]
    assert machine.clock_state() >= 0


def doctor(*options: str, env: dict[str, str] | None = None) -> dict[str, dict[str, str]]:
    done = CliRunner().invoke(app, ["doctor", "--json", *options], env=env)
    return {check["code"] or check["what"]: check for check in json.loads(done.stdout)}


@pytest.mark.parametrize("fault", ["missing", "cut off"])
def test_an_incomplete_model_is_reported_even_if_nothing_serves_it(tmp_path, fault):
    data_dir = folder_with("Qwen3-8B", tmp_path)
    catalogue = data_dir / "models.yaml"
    catalogue.write_text(
        catalogue.read_text("utf-8").replace("license:", "served: false, license:")
    )
    folder = data_dir / "qwen3-8b"
    weights = folder / "model.safetensors"
    assert "model_incomplete" not in doctor("--data-dir", str(data_dir), "--port", "0")
    if fault == "missing":
        index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        weights.write_bytes(weights.read_bytes()[:-10])
    found = doctor("--data-dir", str(data_dir), "--port", "0")["model_incomplete"]
    assert found["level"] == "missing"
    assert ("model-00002" if fault == "missing" else "not a safetensors file") in found["found"]


def test_the_doctor_of_an_image_checks_only_what_its_process_needs(tmp_path, monkeypatch):
    outside = doctor("--data-dir", str(tmp_path), "--port", "0")
    assert "package trl" in outside
    sbom = tmp_path / "sbom.json"
    sbom.write_text("{}")
    monkeypatch.setattr(machine, "_SBOM", sbom)
    inside = doctor(env={"FINETUNED_DATA_DIR": str(tmp_path)})
    assert "this is the image inference" in inside["in_image"]["found"]
    assert not [name for name in inside if name.startswith(("package", "port"))]
