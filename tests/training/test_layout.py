import random

import pytest

from service.training.data.layout import (
    choose_packing,
    lay_out_epoch,
    pack,
    packed_parts,
    padded_parts,
)

CHANCE = random.Random(2)
UNEVEN = [CHANCE.choice([20, 30, 50, 400]) for _ in range(400)]
ALIKE = [CHANCE.randint(90, 110) for _ in range(400)]


def test_packing_is_best_fit_in_decreasing_length():
    lengths = [2, 7, 3, 5, 4, 9]
    assert pack(lengths, 10) == [[5], [1, 2], [3, 4], [0]]


def test_a_sample_longer_than_the_capacity_has_a_row_of_its_own():
    assert pack([12, 3], 10) == [[0], [1]]


@pytest.mark.parametrize("budget", [1, 100, 1000, 100_000])
def test_every_example_is_in_one_part_and_parts_fit(budget):
    lengths = UNEVEN[:64]
    padded = padded_parts(lengths, budget)
    assert sorted(index for part in padded for index in part) == list(range(64))
    for rows in padded:
        assert len(rows) == 1 or len(rows) * lengths[rows[0]] <= budget
    packed = packed_parts(lengths, budget)
    assert sorted(i for part in packed for row in part for i in row) == list(range(64))
    for part in packed:
        widths = [sum(lengths[i] for i in row) for row in part]
        assert max(widths) <= max(lengths)
        assert len(part) == 1 or len(part) * max(widths) <= budget


def test_a_larger_budget_makes_fewer_parts_of_the_same_tokens():
    small, large = (
        lay_out_epoch(UNEVEN, batch_size=16, budget=budget, seed=0, rows="padded")
        for budget in (500, 5000)
    )
    assert large.parts < small.parts
    assert small.widest <= 500 < large.widest <= 5000
    assert small.tokens == large.tokens == sum(UNEVEN)


@pytest.mark.parametrize(
    ("lengths", "batch", "into", "wanted"),
    [
        (UNEVEN, 40, "packed", True),
        (ALIKE, 8, "packed", False),
        (ALIKE, 8, "joined", True),
        ([100] * 8, 8, "joined", False),
    ],
)
def test_auto_packs_where_batches_of_similar_length_hold_much_padding(lengths, batch, into, wanted):
    # One block holds one batch, so nothing can be grouped.
    packing, reason = choose_packing(
        lengths[:batch], batch_size=batch, budget=10_000, seed=0, into=into
    )
    assert packing is wanted
    assert "% padding" in reason


def test_joined_rows_hold_no_padding():
    lengths = [length + index % 13 for index, length in enumerate(UNEVEN)]
    joined, packed = (
        lay_out_epoch(lengths, batch_size=16, budget=5000, seed=0, rows=rows)
        for rows in ("joined", "packed")
    )
    assert joined.positions == joined.tokens == sum(lengths)
    assert 400 <= joined.widest <= 5000
    assert packed.positions > packed.tokens
