"""What a run says about its end to the owner of the job."""

from __future__ import annotations

from service.training.loop.selection import Selection


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
