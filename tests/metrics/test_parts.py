"""Tests of the metrics of storage, adapters, phases and GPUs."""

from __future__ import annotations

import hashlib

import pytest
from prometheus_client import generate_latest

from service.core import metrics
from service.core.storage import (
    Storage,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageMissing,
)
from service.core.storage.errors import convert_error
from service.fleet.capacity import own_gpus
from service.fleet.nvml import GpuMonitor
from service.inference.engine.adapters import AdapterCache
from service.jobs.attempt.progress import Phases
from tests.metrics.samples import Since, current, value


@pytest.fixture
def storage(tmp_path) -> Storage:
    return Storage.from_url((tmp_path / "storage").as_uri())


async def test_storage_counts_operations_and_failures_by_kind(storage, tmp_path):
    since = Since()
    await storage.put_bytes("a", b"1")
    await storage.get_bytes("a")
    with pytest.raises(StorageMissing):
        await storage.get_bytes("b")
    with pytest.raises(StorageError):
        await storage.put_bytes("a/below-a-file", b"1")
    await storage.put_bytes("c/manifest.json", b"not JSON")
    with pytest.raises(StorageCorrupt):
        await storage.manifest("c")
    assert since.grown("storage_operation_seconds_count", operation="put") == 3
    assert since.grown("storage_operation_seconds_count", operation="get") == 3
    assert since.grown("storage_errors_total", operation="get", kind="missing") == 1
    assert since.grown("storage_errors_total", operation="put", kind="away") == 1
    assert since.grown("storage_errors_total", operation="read", kind="corrupt") == 1
    error, kind = convert_error(OSError(28, "No space left on device"), "a")
    assert (type(error), kind) == (StorageFull, "full")


async def test_an_adapter_is_fetched_once_and_found_on_disk_by_the_next_run(storage, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "x").write_bytes(b"x" * 100)
    digest = (await storage.put_folder("adapters/a", source)).digest

    def cache() -> AdapterCache:
        return AdapterCache(tmp_path / "cache", 1000, storage.get_folder, keep_after_use_s=0)

    async def ask(cache: AdapterCache) -> None:
        async with cache.hold("adapters/a", digest, name="a"):
            pass

    since, first = Since(), cache()
    for _ in range(3):
        await ask(first)
    assert since.grown("adapter_arrivals_total", source="storage") == 1
    await ask(cache())
    assert since.grown("adapter_arrivals_total", source="storage") == 1
    assert since.grown("adapter_arrivals_total", source="disk") == 1
    await first.remove("a")
    assert since.grown("adapter_removals_total") == 1
    assert hashlib.sha256(digest.encode()).hexdigest() not in generate_latest().decode()


def test_a_phase_ends_when_the_next_begins():
    since, phases = Since(), Phases()
    phases.enter("loading")
    phases.enter("training")
    assert since.grown("job_phase_seconds_count", phase="loading") == 1
    assert since.grown("job_phase_seconds_count", phase="training") == 0
    phases.end()
    phases.end()
    assert since.grown("job_phase_seconds_count", phase="training") == 1


def test_cleared_metrics_are_not_exported():
    metrics.TRAIN_LOSS.cell().set(1.5)
    assert value(current(), "train_loss") == 1.5
    metrics.TRAIN_LOSS.clear()
    assert value(current(), "train_loss") is None


async def test_gpus_of_this_machine_and_no_others():
    await GpuMonitor(own_gpus()).observe()
    found = current()
    for place in range(16):
        used = value(found, "gpu_memory_used_bytes", gpu=str(place))
        assert (used is not None) == (place < len(own_gpus()))


@pytest.mark.gpu
async def test_memory_and_utilization_of_a_gpu_are_exported():
    await GpuMonitor(own_gpus()).observe()
    found = current()
    whole = value(found, "gpu_memory_bytes", gpu="0")
    used = value(found, "gpu_memory_used_bytes", gpu="0")
    busy = value(found, "gpu_utilization_ratio", gpu="0")
    assert whole is not None
    assert used is not None
    assert busy is not None
    assert 0 < used < whole
    assert 0 <= busy <= 1
