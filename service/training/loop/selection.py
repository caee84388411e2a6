"""Selects the best evaluation, and stops a run when none improves on it.

The state is stored in every checkpoint, along with the best adapter's weights if they differ from
the checkpoint's own, so that a resumed run decides as the uninterrupted one would have.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from service.training.contract.hyperparameters import EarlyStopping

STATE_NAME: Final = "selection.json"
BEST_WEIGHTS: Final = "best_adapter.safetensors"


class Selection(BaseModel):
    """State of best-adapter selection and early stopping.

    `best_loss` is the lowest loss over all validation rows, and `best_step` its step. Where rewards
    are compared instead, a loss is the negative of a mean reward. `stale` counts the evaluations
    since the last one that improved by more than `min_delta`, and `bar` is the loss of that one.
    `evaluated_step` is the step of the last evaluation.
    """

    model_config = ConfigDict(extra="forbid")

    best_step: int | None = None
    best_loss: float | None = None
    bar: float | None = None
    stale: int = 0
    evaluated_step: int = 0
    is_over: bool = False

    def observe(self, step: int, loss: float, rule: EarlyStopping | None) -> bool:
        """Record one evaluation. Returns whether it is the best so far."""
        self.evaluated_step = step
        min_delta = rule.min_delta if rule else 0.0
        if self.bar is None or loss < self.bar - min_delta:
            self.bar, self.stale = loss, 0
        else:
            self.stale += 1
        self.is_over = rule is not None and self.stale >= rule.patience
        if self.best_loss is not None and loss >= self.best_loss:
            return False
        self.best_step, self.best_loss = step, loss
        return True

    def write(self, checkpoint: Path, step: int, best: Path) -> None:
        """Add the state to a checkpoint of `step` that is not sealed yet.

        `best` is the best adapter's file, which may be absent. Raises OSError.
        """
        (checkpoint / STATE_NAME).write_text(self.model_dump_json())
        if self.best_step != step and best.is_file():
            shutil.copyfile(best, checkpoint / BEST_WEIGHTS)

    @classmethod
    def read(cls, checkpoint: Path, weights: Path, best: Path | None) -> Selection:
        """Read the state from a verified checkpoint, or return a fresh state if it has none.

        Copies the best adapter's weights to `best`, if given. `weights` are the checkpoint's own.
        """
        path = checkpoint / STATE_NAME
        if not path.is_file():
            return cls()
        selection = cls.model_validate_json(path.read_bytes())
        other = checkpoint / BEST_WEIGHTS
        if selection.best_step is not None and best:
            best.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(other if other.is_file() else weights, best)
        return selection


def why_stopped(
    selection: Selection, step: int, total_steps: int, *, min_delta: float, by_reward: bool
) -> str:
    """Explain why training ended early."""
    assert selection.bar is not None
    if by_reward:
        stale = f"mean reward has not risen by more than {min_delta:g} above {-selection.bar:.4f}"
    else:
        stale = f"loss has not fallen by more than {min_delta:g} below {selection.bar:.4f}"
    return (
        f"Training ended at step {step} of {total_steps}: the validation {stale} in "
        f"{selection.stale} evaluations."
    )


def why_kept(selection: Selection, *, by_reward: bool) -> str:
    """Explain which adapter is the result."""
    assert selection.best_loss is not None
    best = f"validation loss of {selection.best_loss:.4f} is the lowest"
    if by_reward:
        best = f"mean validation reward of {-selection.best_loss:.4f} is the highest"
    return f"The adapter of step {selection.best_step} is kept: its {best} of all evaluations."
