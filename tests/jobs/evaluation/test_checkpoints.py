"""Choice of the checkpoints that are evaluated besides the final model."""

from __future__ import annotations

import pytest

from service.jobs.evaluation.checkpoints import choose_checkpoints
from service.jobs.records import CheckpointRecord


def record(step: int, loss: float | None) -> CheckpointRecord:
    return CheckpointRecord(
        id=f"ftckpt_{step}",
        project_id="proj_a",
        created_at=1,
        job_id="ftjob-a",
        attempt=1,
        step=step,
        model=f"m:ckpt-step-{step}",
        adapter="",
        state="",
        metrics={"step": step, "valid_loss": loss},
    )


LOSSES = {10: 1.2, 20: 1.0, 30: 1.1, 40: 1.3, 50: 1.4}


@pytest.mark.parametrize(
    ("losses", "kept_best", "most", "steps"),
    [
        (LOSSES, False, 2, [20, 40]),
        (LOSSES, False, 1, [20]),
        (LOSSES, False, 9, [10, 20, 30, 40]),
        (LOSSES, False, 0, []),
        (LOSSES, True, 2, [30, 40]),  # the final model has the weights of step 20
        (dict.fromkeys(LOSSES), False, 2, [30, 40]),
        ({50: 1.0}, False, 2, []),
        ({}, False, 2, []),
    ],
)
def test_the_best_and_the_newest_checkpoints_are_evaluated(losses, kept_best, most, steps):
    records = [record(step, loss) for step, loss in losses.items()]
    found = choose_checkpoints(records, final_step=50, kept_best=kept_best, most=most)
    assert [checkpoint.step for checkpoint in found] == steps
