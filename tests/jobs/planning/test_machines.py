"""Tests of the plans of a queued job on workers that it was not planned for."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.fleet.workers import Worker
from service.jobs.planning.machines import MachinePlan, fits_on, plan_on
from service.jobs.records import JobRecord
from service.models.catalogue import BaseModelEntry
from service.training.contract.hyperparameters import REQUESTED
from tests.jobs.planning.test_estimate import gpu, gpus, large_model, training
from tests.jobs.test_fair_share import job

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> BaseModelEntry:
    path = large_model(tmp_path_factory.mktemp("large") / "llama")
    return BaseModelEntry(id="base", path=path, license="mit", context_length=8192)


def prepared(**fields: object) -> JobRecord:
    """A job whose rows and hyperparameters are those of `training`, on 8 billion parameters."""
    chosen = training(quantization="none").chosen
    hyperparameters = REQUESTED["supervised"].model_validate(chosen.model_dump())
    return job("a1").model_copy(
        update={"hyperparameters": hyperparameters, "longest_row": 2048, **fields}
    )


def test_a_job_fits_where_its_base_model_does(entry):
    """In 16 bits, 8 billion parameters take 15 GiB, and two GPUs of 14 GiB share them."""
    assert fits_on(prepared(), entry, gpu(24), None)
    assert not fits_on(prepared(), entry, gpu(14), None)
    assert fits_on(prepared(), entry, gpus(4, 14), None)
    assert not fits_on(prepared(), entry, gpus(4, 14, "ddp"), None)
    for machine in (gpu(24), gpu(14), gpus(4, 14), gpus(4, 14, "ddp")):
        found = plan_on(prepared(), entry, machine, None)
        assert found is not None
        assert found.fits == fits_on(prepared(), entry, machine, None)


def test_a_plan_for_several_gpus_is_replaced_on_one(entry):
    planned = prepared(tokens_at_once=4096, sharding="fsdp")
    found = plan_on(planned, entry, gpu(24), None)
    assert found is not None
    assert (found.gpus, found.sharding_used, found.fits) == (1, None, True)
    assert found.gradient_checkpointing or found.tokens_at_once < 4096


def test_after_running_out_of_memory_a_job_gets_no_larger_plan(entry):
    for fields in (
        {"tokens_at_once": 2048},
        {"tokens_at_once": 2048, "gradient_checkpointing": True},
        {"tokens_at_once": 2048, "gradient_checkpointing": True, "sharding": "fsdp"},
    ):
        tried = prepared(memory_retries=1, **fields)
        found = plan_on(tried, entry, gpus(4, 80), None)
        assert found is not None
        settings = (found.tokens_at_once, found.gradient_checkpointing, found.sharding)
        assert settings == (2048, tried.gradient_checkpointing, tried.sharding or "ddp")


def test_a_job_that_needs_several_gpus_does_not_fit_one(entry):
    divided = prepared(memory_retries=4, tokens_at_once=2048, sharding="fsdp")
    assert not fits_on(divided, entry, gpu(80), None)
    assert not fits_on(divided, entry, gpus(4, 80, "ddp"), None)
    assert fits_on(divided, entry, gpus(4, 80), None)


def test_a_job_of_unknown_size_keeps_its_settings(entry):
    unmeasured = prepared(longest_row=None)
    elsewhere = entry.model_copy(update={"path": Path("/nowhere")})
    assert plan_on(unmeasured, entry, gpu(4), None) is None
    assert plan_on(prepared(), elsewhere, gpu(4), None) is None
    assert fits_on(unmeasured, entry, gpu(4), None)
    assert fits_on(prepared(), elsewhere, gpu(4), None)


def test_the_machines_own_memory_is_part_of_the_plan(entry):
    """Four GPUs share a model of 8B, all of which one process at a time loads."""
    divided = prepared(memory_retries=4, tokens_at_once=512, sharding="fsdp")
    enough, little = (
        gpus(4, 80).model_copy(update={"host_memory_bytes": gib * 2**30}) for gib in (40, 16)
    )
    found = plan_on(divided, entry, enough, None)
    assert found is not None
    assert found.fits
    assert fits_on(divided, entry, enough, None)
    found = plan_on(divided, entry, little, None)
    assert found is not None
    assert not found.fits
    assert not fits_on(divided, entry, little, None)
    worker = Worker(name="w", queues=("gpu",), **little.model_dump())
    refusal = MachinePlan(worker, found, None).refusal
    assert refusal is not None
    assert "GiB of its machine's own memory for the base model" in refusal
    # Without sharding, it takes little there.
    assert fits_on(prepared(), entry, little, None)
