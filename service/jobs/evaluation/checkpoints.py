"""Chooses the checkpoints that are evaluated besides a job's final model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from service.jobs.records import CheckpointRecord
from service.verdict.comparison import BASE, PROMPT, TUNED, Comparison
from service.verdict.gate import figures


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that becomes a column of the evaluation."""

    model: str
    step: int

    @property
    def column(self) -> str:
        """Name of the column, which is also the end of the model's name."""
        return f"ckpt-step-{self.step}"


def choose_checkpoints(
    records: Sequence[CheckpointRecord], *, final_step: int, kept_best: bool, most: int
) -> list[Checkpoint]:
    """Choose at most `most` checkpoints: the one with the lowest loss, then the newest.

    They are returned by step. The checkpoint with the final model's weights is left out: that of
    the final step, or that with the lowest loss if the job kept its best checkpoint.
    """
    newest = sorted(records, key=lambda record: -record.step)
    best = min(newest, key=_loss, default=None)
    same = best.step if best is not None and kept_best else final_step
    earlier = [record for record in newest if record.step < final_step and record.step != same]
    # Sorting is stable: the others stay in the order of their steps.
    first = sorted(earlier, key=lambda record: record is not best)
    found = [Checkpoint(record.model, record.step) for record in first[:most]]
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def checkpoint_figures(comparison: Comparison) -> dict[str, dict[str, float | str]]:
    """Return the figures of each checkpoint by model, as if it were the final model.

    Forgetting and memorization are left out, since they are those of the final model.
    """
    return {
        column.model: figures(_as_final(comparison, column.name))
        for column in comparison.checkpoints
    }


def _as_final(comparison: Comparison, name: str) -> Comparison:
    names = {name: TUNED, BASE: BASE, PROMPT: PROMPT}
    columns = [
        msgspec.structs.replace(column, name=names[column.name])
        for column in comparison.columns
        if column.name in names
    ]
    rows = [
        msgspec.structs.replace(
            row, answers={names[k]: answer for k, answer in row.answers.items() if k in names}
        )
        for row in comparison.rows
    ]
    return msgspec.structs.replace(
        comparison, columns=columns, rows=rows, memorization=None, forgetting=None
    )


def _loss(record: CheckpointRecord) -> float:
    for name in ("full_valid_loss", "valid_loss"):
        if (loss := record.metrics.get(name)) is not None:
            return loss
    return float("inf")
