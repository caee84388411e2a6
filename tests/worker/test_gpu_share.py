"""Tests that a worker plans only with the memory that engines on its GPU leave free."""

from __future__ import annotations

import pytest

from service.config import GIB, Settings
from service.fleet.workers import Capacity
from service.models.catalogue import BaseModelEntry, Catalogue
from service.worker.gpu_share import limit_trainer_memory, training_capacity

GPU = Capacity(device="cuda", device_name="H", gpus=1, memory_bytes=24 * GIB)
CPU = Capacity(device="cpu", device_name="C", gpus=0, memory_bytes=24 * GIB)


@pytest.fixture
def catalogue(tmp_path) -> Catalogue:
    catalogue = Catalogue(tmp_path / "models.yaml")
    for name, served in (("one", True), ("two", False)):
        catalogue.add(
            BaseModelEntry(
                id=name,
                path=tmp_path / name,
                license="mit",
                context_length=2048,
                parameters=1_000_000_000,
                served=served,
            )
        )
    return catalogue


def test_a_shared_gpu_is_planned_for_in_part(catalogue):
    settings = limit_trainer_memory(Settings(gpu_sharing="share"), catalogue, GPU)
    assert settings.trainer_memory_bytes == int((0.90 - 0.45) * 24 * GIB)
    assert training_capacity(GPU, settings).memory_bytes == settings.trainer_memory_bytes


def test_a_gpu_of_ones_own_and_a_cpu_are_planned_for_whole(catalogue):
    for machine, sharing in ((GPU, "separate"), (CPU, "share")):
        settings = limit_trainer_memory(Settings(gpu_sharing=sharing), catalogue, machine)
        assert settings.trainer_memory_bytes is None
        assert training_capacity(machine, settings) == machine


def test_a_ray_cluster_has_the_capacity_that_the_operator_states(catalogue):
    settings = Settings(
        ray_address="ray://head:10001",
        trainer_gpus=16,
        trainer_memory_bytes=80 * GIB,
        gpu_sharing="share",
    )
    settings = limit_trainer_memory(settings, catalogue, GPU)
    for machine in (GPU, CPU):
        capacity = training_capacity(machine, settings)
        assert (capacity.device, capacity.gpus, capacity.sharding) == ("cuda", 16, "auto")
        assert capacity.memory_bytes == 80 * GIB
        assert (capacity.gpus_for(4), capacity.gpus_for(64)) == (4, 16)
    alone = settings.model_copy(update={"trainer_gpus": 1, "ray_device": "cpu"})
    assert training_capacity(GPU, alone).sharding is None
    assert training_capacity(GPU, alone).device == "cpu"


@pytest.mark.parametrize("address", ["ray://head:10001", "10.0.0.1:6379", "ray://[fd00::1]:10001"])
def test_addresses_of_a_ray_cluster(address):
    assert Settings(ray_address=address, trainer_gpus=2).ray_address == address


@pytest.mark.parametrize("address", ["head", "auto", "http://head:8265", "ray://head", ""])
def test_other_addresses_are_refused_with_the_form(address):
    with pytest.raises(ValueError, match="write ray://HOST:PORT"):
        Settings(ray_address=address, trainer_gpus=2)


def test_the_number_of_gpus_of_a_ray_cluster_is_required():
    with pytest.raises(ValueError, match="ray_address needs trainer_gpus"):
        Settings(ray_address="ray://head:10001")


def test_a_training_uses_all_gpus_or_as_many_as_set():
    four = GPU.model_copy(update={"gpus": 4})
    assert (
        training_capacity(four, Settings()).gpus,
        training_capacity(four, Settings()).sharding,
    ) == (
        4,
        "auto",
    )
    assert training_capacity(four, Settings()).device_name == "4 × H"
    assert training_capacity(four, Settings(trainer_gpus=2, trainer_sharding="ddp")).gpus == 2
    assert training_capacity(four, Settings(trainer_gpus=1)) == four
    assert training_capacity(four, Settings(trainer_gpus=1)).gpus_for(8) == 1
