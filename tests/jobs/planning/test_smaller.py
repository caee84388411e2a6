"""Tests of the plans of a job that runs out of memory."""

from __future__ import annotations

from pathlib import Path

from service.jobs.planning.memory_plan import MOST_RETRIES, in_words, smaller_plan
from service.jobs.records import MemorySettings as Plan


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
    assert in_words(Plan(1024, False)) == "with at most 1,024 tokens in the model at a time"
    assert in_words(Plan(None, True)) == "with gradient checkpointing"
    assert in_words(Plan(512, True)) == (
        "with at most 512 tokens in the model at a time and gradient checkpointing"
    )
    assert in_words(Plan(512, True, True)) == (
        "with at most 512 tokens in the model at a time, gradient checkpointing and the inputs of "
        "layers in the machine's memory"
    )
    assert in_words(Plan(512, True, sharding="fsdp")) == (
        "with at most 512 tokens in the model at a time, gradient checkpointing and the base model "
        "divided among several GPUs"
    )


def test_the_docs_name_the_number_of_retries():
    page = Path(__file__).parents[3] / "docs" / "training.md"
    assert f"After {['three', 'four'][MOST_RETRIES - 3]} such attempts" in page.read_text("utf-8")
