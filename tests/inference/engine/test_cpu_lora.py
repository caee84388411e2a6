"""Tests of our LoRA products against their mathematical definition, row by row."""

from __future__ import annotations

import pytest

from tests.lazy import Lazy

pytestmark = pytest.mark.slow

torch = Lazy("torch")
cpu_lora = Lazy("service.inference.engine.cpu_lora")

SLOTS, RANK, WIDTH = 3, 4, 16


def expected(slots, y, x, a_stacked, b_stacked, scale, widths):
    y = y.clone()
    for row, slot in enumerate(slots):
        offset = 0
        for a, b, width in zip(a_stacked, b_stacked, widths, strict=True):
            if slot >= 0:
                hidden = x[row] if a is None else a[slot, 0] @ x[row]
                y[row, offset : offset + width] += (b[slot, 0] @ hidden)[:width] * scale
            offset += width
    return y


def add(plan, y, x, a, b, scale, widths):
    cpu_lora.add(plan, y, x, a_stacked=a, b_stacked=b, scale=scale, widths=widths)


def tensors(rows, widths, *, pad=0, embedding=False):
    torch.manual_seed(0)
    x = torch.randn(rows, RANK if embedding else WIDTH)
    y = torch.randn(rows, sum(widths))
    a = [None if embedding else torch.randn(SLOTS, 1, RANK, WIDTH) for _ in widths]
    b = [torch.randn(SLOTS, 1, width + pad, RANK) for width in widths]
    return y, x, a, b


@pytest.mark.parametrize(
    "slots",
    [
        [0, 0, 0, 0],
        [-1, -1, -1],
        [0, 1, 2, 0, 1, 2],
        [-1, 2, -1, 0, 0, -1, 2],
        [2, 2, 0, 0, 1],
        [-1, -1, 1, 1],
        [1],
        [],
    ],
)
@pytest.mark.parametrize("widths", [(8,), (8, 4, 4)])
def test_each_row_gets_its_own_adapter_and_the_base_model_none(slots, widths):
    y, x, a, b = tensors(len(slots), widths)
    want = expected(slots, y, x, a, b, 0.5, widths)
    add(cpu_lora.Plan.build(slots), y, x, a, b, 0.5, widths)
    torch.testing.assert_close(y, want)


def test_an_adapter_with_bad_numbers_spoils_its_own_rows_only():
    slots = [0, 1, -1, 0, 1, -1]
    y, x, a, b = tensors(len(slots), (8,))
    want = expected(slots, y, x, a, b, 1.0, (8,))
    a[0][1] = float("nan")
    add(cpu_lora.Plan.build(slots), y, x, a, b, 1.0, (8,))
    others = [row for row, slot in enumerate(slots) if slot != 1]
    torch.testing.assert_close(y[others], want[others])


def test_a_head_padded_further_than_the_models():
    y, x, a, b = tensors(3, (8,), pad=5)
    want = expected([0, -1, 2], y, x, a, b, 1.0, (8,))
    add(cpu_lora.Plan.build([0, -1, 2]), y, x, a, b, 1.0, (8,))
    torch.testing.assert_close(y, want)


def test_embeddings_have_been_looked_up_before():
    y, x, a, b = tensors(4, (8,), embedding=True)
    want = expected([0, -1, 1, 0], y, x, a, b, 1.0, (8,))
    add(cpu_lora.Plan.build([0, -1, 1, 0]), y, x, a, b, 1.0, (8,))
    torch.testing.assert_close(y, want)


def test_other_types_are_brought_together():
    y, x, a, b = tensors(4, (8,))
    want = expected([0, -1, 1, 0], y, x, a, b, 0.5, (8,))
    b = [part.to(torch.bfloat16) for part in b]
    add(cpu_lora.Plan.build([0, -1, 1, 0]), y, x, a, b, 0.5, (8,))
    torch.testing.assert_close(y, want, rtol=0.05, atol=0.2)


def test_an_adapter_with_bad_numbers_among_large_groups_too():
    slots = [0] * 20 + [1] * 20 + [2, -1]
    y, x, a, b = tensors(len(slots), (8, 4))
    want = expected(slots, y, x, a, b, 1.0, (8, 4))
    b[1][1] = float("nan")
    add(cpu_lora.Plan.build(slots), y, x, a, b, 1.0, (8, 4))
    others = [row for row, slot in enumerate(slots) if slot != 1]
    torch.testing.assert_close(y[others], want[others])


@pytest.mark.parametrize("seed", range(20))
def test_any_mix_of_prompts_and_single_tokens(seed):
    """Long runs of one slot, like prompts, between single rows in any order."""
    random = torch.Generator().manual_seed(seed)

    def number(most: int) -> int:
        return int(torch.randint(most, (1,), generator=random))

    slots = [
        slot
        for _ in range(1 + number(12))
        for slot in [number(SLOTS + 1) - 1] * (1 + number(40) * number(2))
    ]
    widths = (8, 4, 4)
    y, x, a, b = tensors(len(slots), widths)
    want = expected(slots, y, x, a, b, 0.5, widths)
    add(cpu_lora.Plan.build(slots), y, x, a, b, 0.5, widths)
    torch.testing.assert_close(y, want)


def test_few_rows_of_several_slots_go_together_and_many_rows_alone():
    plan = cpu_lora.Plan.build([1, 0, 1, -1])
    assert plan.groups == ()
    assert plan.together.rows.tolist() == [0, 1, 2]
    assert cpu_lora.Plan.build([1, 0]).together.rows is None
    mixed = cpu_lora.Plan.build([0] * 40 + [1, 2])
    assert [(g.slot, g.rows) for g in mixed.groups] == [(0, slice(0, 40))]
    assert mixed.together.slots == 2


def test_a_plan_serves_as_long_as_the_batch_is_the_same_and_sees_new_weights():
    slots = [0, 2, 1, -1, 2]
    plan = cpu_lora.Plan.build(slots)
    assert plan.following(slots) is plan
    assert plan.following([0, 2, 1, -1, 1]) is not plan
    y, x, a, b = tensors(len(slots), (8, 4, 4))
    for _ in range(2):
        was = y.clone()
        add(plan, y, x, a, b, 0.5, (8, 4, 4))
        torch.testing.assert_close(y, expected(slots, was, x, a, b, 0.5, (8, 4, 4)))
        for part in (*a, *b):
            part.mul_(-0.5)  # like an adapter that enters a slot


def test_slots_far_apart_are_not_computed_together():
    plan = cpu_lora.Plan.build([0, 7])
    assert plan.together is None
    assert [g.slot for g in plan.groups] == [0, 7]


def test_logits_of_a_prompt_use_the_adapter_of_its_request():
    """A batch of three prompts: `prompt_logprobs` asks for the logits of one after another."""
    by_token = [0] * 5 + [-1] * 3 + [2] * 4
    wrapper = object.__new__(cpu_lora.GroupedLoRA)
    wrapper._by_token = cpu_lora.Plan.build(by_token)
    wrapper._by_sample = cpu_lora.Plan.build([0, -1, 2])
    y, hidden, a, b = tensors(len(by_token), (8,))
    for start, end in [(0, 4), (5, 7), (5, 8), (8, 11)]:
        part = hidden[start:end]
        got = y[start:end].clone()
        want = expected(by_token[start:end], got, part, a, b, 1.0, (8,))
        wrapper.add_lora_logits(got, part, a[0], b[0], 1.0)
        torch.testing.assert_close(got, want)
    sampled = hidden[[4, 7, 11]]
    got = y[:3].clone()
    want = expected([0, -1, 2], got, sampled, a, b, 1.0, (8,))
    wrapper.add_lora_logits(got, sampled, a[0], b[0], 1.0)
    torch.testing.assert_close(got, want)
