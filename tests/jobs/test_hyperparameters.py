"""What `auto` becomes."""

from __future__ import annotations

import pytest

from service.jobs.hyperparameters import batch_size, epochs, resolve
from service.jobs.records import Chosen, Lora


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(10, 10), (4, 25), (33, 3), (34, 3), (500, 3), (8333, 3), (8334, 2), (30_000, 1)],
)
def test_epochs_follow_the_cookbook(rows, expected):
    assert epochs(rows) == expected


@pytest.mark.parametrize(("rows", "expected"), [(10, 1), (40, 2), (80, 4), (160, 8), (5000, 16)])
def test_batches_leave_small_sets_enough_steps(rows, expected):
    assert batch_size(rows) == expected


def test_nothing_stays_auto():
    chosen = resolve(Chosen(), rows=100, parameters=7_000_000_000, context_length=8192)
    assert "auto" not in str(chosen.model_dump())
    assert chosen.learning_rate == 2e-4
    assert chosen.lora.alpha == 2 * chosen.lora.r
    assert chosen.max_seq_length == 2048


def test_what_is_asked_is_kept():
    asked = Chosen(
        batch_size=3,
        n_epochs=2,
        learning_rate=0.5,
        lora=Lora(r=4, alpha=4),
        max_seq_length=128,
        packing=True,
        quantization="none",
    )
    chosen = resolve(asked, rows=1000, parameters=None, context_length=8192)
    assert chosen == asked.model_copy(update={"learning_rate_multiplier": 1.0})


def test_the_multiplier_scales_the_models_own_rate():
    twice = Chosen(learning_rate_multiplier=2)
    large = resolve(twice, rows=100, parameters=8_000_000_000, context_length=4096)
    small = resolve(twice, rows=100, parameters=135_000_000, context_length=4096)
    assert large.learning_rate == 4e-4
    assert small.learning_rate > large.learning_rate


def test_sequences_fit_the_context():
    chosen = resolve(Chosen(), rows=100, parameters=None, context_length=512)
    assert chosen.max_seq_length == 512
