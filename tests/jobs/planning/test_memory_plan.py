"""Tests of smaller plans after running out of memory, and of the tokens in the model at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.fleet.workers import Capacity
from service.jobs.planning.memory_plan import (
    MOST_RETRIES,
    MemoryPlan,
    Training,
    describe_settings,
    plan,
    smaller_plan,
)
from service.jobs.records import MemorySettings as Plan
from service.training.contract.hyperparameters import RESOLVED
from service.training.loop.estimate import loaded_bytes
from service.training.model.shape import ModelShape
from tests.jobs.planning.test_estimate import GIB, gpu, large_model
from tests.lazy import Lazy

part_size = Lazy("service.training.loop.memory")
spec_module = Lazy("service.training.contract.spec")


def plans(
    suggestions: list[int | None],
    *,
    gradient_checkpointing: bool = False,
    can_move_inputs: bool = False,
    can_shard: bool = False,
):
    """The plans of a job whose every attempt runs out of memory and suggests these numbers."""
    found = []
    for retries, tokens in enumerate(suggestions):
        plan = smaller_plan(
            retries=retries,
            gradient_checkpointing=gradient_checkpointing,
            suggested_tokens=tokens,
            can_move_inputs=can_move_inputs,
            can_shard=can_shard,
        )
        if plan is None:
            break
        found.append(plan)
        gradient_checkpointing = plan.gradient_checkpointing
        can_move_inputs = can_move_inputs and not plan.inputs_on_host
        can_shard = can_shard and plan.sharding is None
    return found


def test_each_plan_is_smaller_than_the_one_before_and_their_number_is_bounded():
    found = plans([2048, 1024, 512, 256, 128, 64])
    assert found == [
        Plan(2048, False),
        Plan(1024, True),
        Plan(512, True),
        Plan(256, True),
    ]
    assert len(found) == MOST_RETRIES


def test_checkpointing_is_left_where_one_row_is_too_long():
    assert plans([2048, None, None]) == [Plan(2048, False), Plan(None, True)]
    assert plans([None, 512, None]) == [Plan(None, True), Plan(512, True)]


def test_nothing_is_left_where_a_checkpointed_row_is_too_long():
    assert plans([None], gradient_checkpointing=True) == []


def test_several_gpus_divide_the_base_model_in_the_end():
    found = plans([2048, 1024, 512, 256, 128], can_shard=True)
    assert found[:3] == plans([2048, 1024, 512])
    assert found[3:] == [Plan(256, True, sharding="fsdp")]


def test_several_gpus_divide_the_base_model_when_nothing_else_is_left():
    assert plans([None, None, None], can_shard=True) == [
        Plan(None, True),
        Plan(None, True, sharding="fsdp"),
    ]
    given = {"gradient_checkpointing": True, "can_shard": True}
    assert plans([None, 512, None], **given) == [
        Plan(None, True, sharding="fsdp"),
        Plan(512, True),
    ]


def test_inputs_move_to_the_host_before_the_base_model_is_divided():
    assert plans([None, None, None, None], can_move_inputs=True, can_shard=True) == [
        Plan(None, True),
        Plan(None, True, inputs_on_host=True),
        Plan(None, True, sharding="fsdp"),
    ]
    assert plans([None, None, None], can_move_inputs=True) == [
        Plan(None, True),
        Plan(None, True, inputs_on_host=True),
    ]


def test_the_words_name_what_changes():
    assert (
        describe_settings(Plan(1024, False)) == "with at most 1,024 tokens in the model at a time"
    )
    assert describe_settings(Plan(None, True)) == "with gradient checkpointing"
    assert describe_settings(Plan(512, True)) == (
        "with at most 512 tokens in the model at a time and gradient checkpointing"
    )
    assert describe_settings(Plan(512, True, True)) == (
        "with at most 512 tokens in the model at a time, gradient checkpointing and the inputs of "
        "layers in the machine's memory"
    )
    assert describe_settings(Plan(512, True, sharding="fsdp")) == (
        "with at most 512 tokens in the model at a time, gradient checkpointing and the base model "
        "divided among several GPUs"
    )


def test_the_docs_name_the_number_of_retries():
    page = Path(__file__).parents[3] / "docs" / "training.md"
    assert f"After {['three', 'four'][MOST_RETRIES - 3]} such attempts" in page.read_text("utf-8")


@pytest.fixture(scope="module")
def llama_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return large_model(tmp_path_factory.mktemp("large") / "llama")


@pytest.fixture(scope="module")
def llama(llama_path: Path) -> ModelShape:
    return ModelShape.read(llama_path)


def training(**fields: Any) -> Training:
    """Batches of 16 rows of 2,048 tokens, which are eight times the usual part."""
    chosen = RESOLVED["supervised"](
        batch_size=16,
        n_epochs=1,
        max_seq_length=2048,
        learning_rate_multiplier=1,
        learning_rate=1e-4,
        packing=False,
    )
    return replace(Training(chosen, "supervised", longest=2048, tokens_at_once=None), **fields)


def tokens_on(shape: ModelShape, gib: float, **fields: Any) -> int:
    return plan(training(**fields), shape, gpu(gib)).tokens_at_once


def test_parts_are_as_large_as_the_memory_allows(llama):
    found = [tokens_on(llama, gib) for gib in (16, 24, 48, 80, 192)]
    assert found == [2048, 2048, 4096, 8192, 16_384]


def test_parts_above_the_usual_size_leave_a_quarter_of_the_memory(llama):
    plans = [plan(training(), llama, gpu(gib)) for gib in range(10, 200)]
    assert all(there.fits for there in plans)
    large = [there for there in plans if there.tokens_at_once > 4096]
    assert {there.tokens_at_once for there in large} == {8192, 16_384}
    for there in large:
        assert there.available is not None
        assert there.needed <= there.available / 0.9 * 0.75
    # More memory never means smaller parts, unless it allows to do without checkpointing.
    without = [there.tokens_at_once for there in plans if not there.gradient_checkpointing]
    assert without == sorted(without)


def test_as_many_layers_as_fit_are_not_checkpointed(llama):
    plans = [plan(training(), llama, gpu(gib)) for gib in range(9, 25)]
    kept = [llama.layers if not p.gradient_checkpointing else p.kept_layers for p in plans]
    assert (kept[0], kept[-1]) == (0, llama.layers)
    # More layers, or larger parts: less memory gives no faster plan.
    of_2048 = [k for k, there in zip(kept, plans, strict=True) if there.tokens_at_once == 2048]
    assert of_2048 == sorted(of_2048)
    for there in plans:
        assert there.fits
        if there.gradient_checkpointing:  # one more layer would not fit, or none would be left
            one_more = (there.memory.activations * 1.1) / max(there.kept_layers + 1, 2)
            assert there.room < one_more
    # A job that ran out of memory with checkpointing recomputes all layers.
    again = plan(training(), llama, gpu(20), Plan(2048, True))
    assert (again.gradient_checkpointing, again.kept_layers) == (True, 0)


def test_unknown_memory_means_parts_of_the_usual_size(llama):
    unknown = gpu(80).model_copy(update={"memory_bytes": None})
    assert plan(training(), llama, unknown).tokens_at_once == 4096


def test_a_cpu_has_parts_of_the_usual_size(llama):
    cpu = Capacity(device="cpu", device_name="X", gpus=0, memory_bytes=500 * GIB)
    assert plan(training(longest=256), llama, cpu).tokens_at_once == 1536


def test_what_the_operator_sets_is_not_reduced_while_it_fits(llama):
    assert tokens_on(llama, 70, tokens_at_once=8192) == 8192
    assert tokens_on(llama, 70) == 4096
    assert tokens_on(llama, 192, tokens_at_once=1024, longest=512) == 1024


def test_after_memory_ran_out_parts_stay_small(llama):
    found = plan(training(), llama, gpu(192), Plan(tokens_at_once=4096))
    assert found.tokens_at_once == 4096


def spec_of(there: MemoryPlan, folder: Path, tmp_path: Path) -> Any:
    return spec_module.TrainSpec(
        job_id="job",
        base_model="llama",
        base_model_path=folder,
        hyperparameters=training().chosen,
        training_file=tmp_path / "rows.jsonl",
        output_dir=tmp_path,
        tokens_at_once=there.tokens_at_once,
        gradient_checkpointing=there.gradient_checkpointing,
        kept_layers=there.kept_layers,
    )


@pytest.mark.parametrize("gib", [10, 16, 24, 48, 80, 192])
def test_the_trainer_computes_as_planned_if_the_gpu_is_its_own(llama, llama_path, tmp_path, gib):
    there = plan(training(), llama, gpu(gib))
    context = GIB // 2  # what CUDA takes for itself
    free = gib * GIB - context - loaded_bytes(llama, "nf4") - there.memory.adapter
    found = part_size.largest_fitting_tokens(
        spec_of(there, llama_path, tmp_path), 2048, free, device="cuda", dtype="bfloat16"
    )
    assert found == there.tokens_at_once


def test_the_trainer_computes_less_at_once_if_others_use_the_gpu(llama, llama_path, tmp_path):
    there = plan(training(), llama, gpu(80))
    spec = spec_of(there, llama_path, tmp_path)
    assert there.tokens_at_once == 8192
    found = [
        part_size.largest_fitting_tokens(spec, 1500, gib * GIB, device="cuda", dtype="bfloat16")
        for gib in (70, 40, 20, 10, 1)
    ]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == (8192, 1500)
    assert len(set(found)) >= 4


def test_a_trainer_on_a_cpu_computes_as_planned(llama, llama_path, tmp_path):
    spec = spec_of(plan(training(), llama, gpu(80)), llama_path, tmp_path)
    place = part_size.ComputeDevice("cpu", None)
    assert part_size.fit_tokens(spec, place, part_size.Ranks(), []) == (spec, None)
