"""Tests of the speed of an attempt, which later estimates are based on."""

from __future__ import annotations

import time

from service.jobs.attempt.recorder import StepProgress
from service.training.contract.protocol import StepDone


def step(number: int, trained_tokens: int) -> StepDone:
    return StepDone(
        step=number,
        total_steps=3,
        train_loss=1.0,
        train_mean_token_accuracy=0.5,
        learning_rate=1e-4,
        tokens_per_second=1.0,
        trained_tokens=trained_tokens,
    )


def test_one_step_has_no_speed():
    """It includes the warm-up. A speed of 0 would make each later estimate fail."""
    progress = StepProgress()
    progress.advance(step(1, 500))
    assert progress.tokens_per_second is None


def test_the_speed_counts_the_steps_after_the_first():
    progress = StepProgress()
    progress.advance(step(1, 500))
    time.sleep(0.01)
    progress.advance(step(2, 800))
    speed = progress.tokens_per_second
    assert speed is not None
    assert 0 < speed <= 300 / 0.01
