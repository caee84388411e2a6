"""Tests of the order of samples, and of the steps of checkpoints and learning rates."""

import random

import pytest

from service.training.data.layout import (
    checkpoint_steps,
    epoch_order,
    window_starts,
)
from tests.lazy import Lazy

plan = Lazy("service.training.loop.plan")

CHANCE = random.Random(1)
LENGTHS = [CHANCE.randint(5, 400) for _ in range(1003)]


def order(**changes):
    settings = {"batch_size": 8, "seed": 3, "epoch": 0, "by_length": True}
    return epoch_order(LENGTHS, **(settings | changes))


@pytest.mark.parametrize("by_length", [True, False])
def test_every_sample_comes_once_and_the_order_is_the_seeds(by_length):
    once = order(by_length=by_length)
    assert sorted(once) == list(range(len(LENGTHS)))
    assert once == order(by_length=by_length)
    assert once != order(by_length=by_length, epoch=1)
    assert once != order(by_length=by_length, seed=4)


def padded(indices):
    batches = [indices[at : at + 8] for at in range(0, len(indices), 8)]
    return sum(max(LENGTHS[i] for i in batch) * len(batch) for batch in batches)


def test_grouping_by_length_pads_little():
    assert padded(order(by_length=False)) > 1.5 * sum(LENGTHS)
    assert padded(order()) < 1.1 * sum(LENGTHS)


def test_the_longest_batch_of_the_run_comes_first():
    assert max(LENGTHS[i] for i in order()[:1000]) == LENGTHS[order()[0]]


def test_fewer_samples_than_a_batch():
    assert sorted(epoch_order([3, 9, 5], batch_size=8, seed=0, epoch=0, by_length=True)) == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("total", "count", "steps"),
    [(42, 3, {14, 28, 42}), (10, 3, {3, 7, 10}), (2, 3, {1, 2}), (1, 5, {1}), (9, 1, {9})],
)
def test_checkpoints_are_spread_evenly_and_one_is_at_the_end(total, count, steps):
    assert checkpoint_steps(total, count) == steps


@pytest.mark.parametrize(
    ("total", "windows", "starts"),
    [
        (12, 15, {4, 8, 9}),  # a window has at least three steps
        (100, 6, {17, 33, 50, 67, 83, 97}),
        (100, 1, {33, 67, 97}),  # at least one per checkpoint
        (2, 15, {1}),
        (100, 0, set()),
    ],
)
def test_windows_of_replays_end_at_checkpoints(total, windows, starts):
    assert window_starts(total, 3, windows) == starts


@pytest.mark.slow
@pytest.mark.parametrize("total", [1, 2, 12, 42, 1000])
def test_the_rate_rises_shortly_then_falls_and_is_never_0_within_the_run(total):
    rates = [plan.rate_factor(step, total) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
    peak = rates.index(max(rates))
    assert peak <= max(2, 0.04 * total)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    if total > 10:
        assert max(rates) == 1
        assert rates[-1] < 0.05
