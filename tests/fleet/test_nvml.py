"""Tests of GPUs as NVML describes them, on machines that this one is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from service.core import metrics
from service.diagnostics import gpus as checks
from service.fleet import nvml
from service.fleet.capacity import driver_version, installed_gpus, measure, own_gpus
from service.fleet.nvml import GpuMonitor
from service.models.catalogue import Catalogue
from service.standalone import up
from tests.fleet.fake_nvml import (
    LOST,
    MISMATCH,
    NO_PERMISSION,
    NOT_LOADED,
    RESET_REQUIRED,
    THERMAL,
    Card,
    Machine,
    machine,
)

TWO = (Card("GPU-aa"), Card("GPU-bb", mib=23034, used_mib=2048))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(checks, "torch_cuda", lambda: (13, 0))
    with machine(tmp_path, *TWO) as found:
        yield found


def codes(environ: dict[str, str] | None = None, pci: Path = Path("/none")) -> list[str]:
    return [finding.code for finding in checks.check(environ or {}, pci)]


def test_the_gpus_of_a_machine(fake):
    first, second = installed_gpus()
    assert (first.uuid, first.name, first.memory_bytes) == ("GPU-aa", "NVIDIA L4", 23034 * 2**20)
    assert (first.capability, first.has_bf16, second.fault) == ((8, 9), True, None)
    assert driver_version() == "580.95.05"
    found = measure({})
    assert (found.device, found.gpus, found.memory_bytes) == ("cuda", 2, 23034 * 2**20)
    assert codes() == ["gpu_driver_ok"]


def test_a_gpu_that_shares_the_memory_of_the_machine(fake):
    """A GB10 has no memory of its own, which NVML answers with NOT_SUPPORTED."""
    fake.write(Card("GPU-gb", "NVIDIA GB10", mib=-1, capability="12.1", busy=-1, slowed=-1))
    (found,) = installed_gpus()
    assert (found.memory_bytes, found.capability, found.fault) == (None, (12, 1), None)
    assert measure({}).memory_bytes is None


def test_a_lost_gpu_hides_no_other(fake):
    fake.fail(1, LOST)
    first, second = own_gpus({})
    assert (first.fault, second.fault) == (None, "GPU is lost")
    (finding,) = [f for f in checks.check({}) if f.level == "missing"]
    assert (finding.code, "Xid" in finding.how) == ("gpu_fault", True)
    assert codes({"CUDA_VISIBLE_DEVICES": "GPU-aa"}) == ["gpu_driver_ok"]
    with pytest.raises(SystemExit, match=r"finetuned-server: GPU 1: GPU is lost\. To fix it: see"):
        checks.require_usable()
    fake.fail(1, RESET_REQUIRED)
    assert own_gpus({})[1].fault == "GPU requires restart"


def test_gpus_of_others_are_left_out(fake):
    fake.fail(0, NO_PERMISSION)
    assert [gpu.uuid for gpu in installed_gpus()] == ["GPU-bb"]


@pytest.mark.parametrize(
    ("cards", "driver", "code"),
    [
        (TWO, "570.124.06", "gpu_driver_old"),
        ((Card("GPU-v", "Tesla V100", capability="7.0"),), "580.95.05", "gpu_too_old"),
        ((Card("GPU-h", slowed=THERMAL),), "580.95.05", "gpu_slowed"),
    ],
)
def test_what_would_train_on_the_cpu_or_slowly_is_found(fake, cards, driver, code):
    fake.write(*cards, driver=driver)
    assert code in codes()


@pytest.mark.parametrize(
    ("error", "how"), [(MISMATCH, "restart the machine"), (NOT_LOADED, "modprobe nvidia")]
)
def test_a_driver_that_shows_no_gpu_does_not_make_a_worker_of_the_cpu(fake, tmp_path, error, how):
    fake.write(init=error)
    assert installed_gpus() == []
    device = tmp_path / "pci" / "0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    (finding,) = checks.check({}, tmp_path / "pci")
    assert (finding.level, finding.code) == ("missing", "gpu_driver_fails")
    assert how in finding.how
    assert checks.check({"CUDA_VISIBLE_DEVICES": ""}, tmp_path / "pci") == []
    (device / "class").write_text("0x040300\n")  # the sound of a GPU
    assert codes(pci=tmp_path / "pci") == []


SLICED = (
    Card("GPU-a1", "NVIDIA A100-SXM4-40GB", mib=40960, capability="8.0"),
    Card("MIG-11", "NVIDIA A100-SXM4-40GB MIG 3g.20gb", mib=19968, parent=0),
    Card("MIG-22", "NVIDIA A100-SXM4-40GB MIG 2g.10gb", mib=9856, parent=0),
)


def test_a_process_uses_one_slice_of_a_gpu(fake):
    fake.write(*SLICED)
    (whole,) = installed_gpus()
    assert [one.uuid for one in whole.slices] == ["MIG-11", "MIG-22"]
    found = measure({})
    assert (found.gpus, found.memory_bytes, found.has_bf16) == (1, 19968 * 2**20, True)
    other = {"CUDA_VISIBLE_DEVICES": "MIG-22,MIG-11"}
    assert measure(other).memory_bytes == 9856 * 2**20
    assert codes() == ["gpu_driver_ok", "gpu_slices"]
    assert codes(other) == ["gpu_driver_ok"]


def test_trainings_are_placed_on_the_gpus_that_nvml_finds(fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    placement, sharing = up._place(Catalogue(tmp_path / "models.yaml"))
    assert placement is not None
    assert (placement.gpus, sharing) == ((23034 * 2**20,) * 2, "separate")
    assert placement.workers == ((0,), (1,))
    fake.fail(1, LOST)  # whose size, and number for CUDA, are unknown
    assert up._place(Catalogue(tmp_path / "models.yaml"))[0] is None


@contextmanager
def watching(environment: Mapping[str, str] = MappingProxyType({})) -> Iterator[GpuMonitor]:
    try:
        yield GpuMonitor(own_gpus(environment))
    finally:
        for gauge in (metrics.GPU_FAULT, metrics.GPU_SLOWED, metrics.GPU_UTILIZATION):
            gauge.clear()
        metrics.GPU_MEMORY_BYTES.clear()
        metrics.GPU_MEMORY_USED_BYTES.clear()


async def test_the_gauges_of_a_gpu_end_when_it_is_lost_and_return(fake):
    with watching() as monitor:
        await monitor.observe()
        used = {("0",): 512.0 * 2**20, ("1",): 2048.0 * 2**20}
        assert dict(metrics.GPU_MEMORY_USED_BYTES.values()) == used
        assert dict(metrics.GPU_UTILIZATION.values()) == {("0",): 0.5, ("1",): 0.5}
        assert (monitor.fault, dict(metrics.GPU_FAULT.values())) == (None, {("0",): 0, ("1",): 0})
        fake.fail(1, LOST)
        await monitor.observe()
        assert monitor.fault == "GPU 1 (NVIDIA L4): GPU is lost"
        assert dict(metrics.GPU_MEMORY_USED_BYTES.values()) == {("0",): 512.0 * 2**20}
        assert dict(metrics.GPU_FAULT.values()) == {("0",): 0, ("1",): 1}
        fake.write(init=MISMATCH)  # the driver is being replaced
        await monitor.observe()
        assert "mismatch" in str(monitor.fault)
        fake.write(*TWO, init=0)
        await monitor.observe()
        assert monitor.fault is None
        assert dict(metrics.GPU_MEMORY_USED_BYTES.values()) == used


async def test_a_slice_is_watched_by_its_own_memory(fake):
    fake.write(*SLICED)
    with watching() as monitor:
        await monitor.observe()
        assert dict(metrics.GPU_MEMORY_BYTES.values()) == {("0",): 19968.0 * 2**20}
        assert (metrics.GPU_UTILIZATION.values(), monitor.fault) == ([], None)


async def test_a_slice_that_nvml_does_not_know_by_its_name_is_no_fault(fake):
    fake.write(*SLICED)
    with watching({"CUDA_VISIBLE_DEVICES": "MIG-GPU-a1/1/0"}) as monitor:
        await monitor.observe()
        assert monitor.fault is None


async def test_a_fault_that_only_cuda_sees_is_kept(fake):
    with watching() as monitor:
        monitor.keep("CUDA unknown error")
        await monitor.observe()
        assert monitor.fault == "CUDA unknown error"


def test_without_the_library_nothing_fails():
    assert nvml.report().gpus == () or own_gpus()
