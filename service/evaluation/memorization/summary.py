"""The summary of all probes for memorized training text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from service.evaluation.comparison import LeakedRow, Memorization
from service.evaluation.memorization.continuations import Continued, Copy

MAX_LINES: Final = 50
"""Lines of copied rows that a summary lists."""


def summarize(
    continued: Sequence[Continued],
    *,
    control: Sequence[Continued] = (),
    canaries_planted: int = 0,
    canaries_returned: int = 0,
    personal: Sequence[LeakedRow] = (),
) -> Memorization:
    """Summarize the results of the probes.

    `control` are the results for held-out rows, which the model has never seen. If a task has only
    one right answer, such as a translation, a good model writes it for unseen rows as well. As many
    copies as the control predicts are therefore not counted; the longest copies are.
    """
    verbatim = _beyond_chance(continued, control, "verbatim")
    near = _beyond_chance(continued, control, "near")
    return Memorization(
        canaries_planted=canaries_planted,
        canaries_returned=canaries_returned,
        rows_probed=len(continued),
        verbatim=len(verbatim),
        near=len(near),
        verbatim_lines=sorted(verbatim[:MAX_LINES]),
        near_lines=sorted(near[:MAX_LINES]),
        personal=list(personal),
    )


def _beyond_chance(
    continued: Sequence[Continued], control: Sequence[Continued], kind: Copy
) -> list[int]:
    """Return the lines of copied rows, longest copies first, without as many as are expected."""
    copied = [one for one in continued if one.copy == kind]
    copied.sort(key=lambda one: (-one.tuned.run, one.line))
    expected = 0
    if control:
        unseen = sum(one.copy == kind for one in control)
        expected = round(unseen / len(control) * len(continued))
    return [one.line for one in copied[: max(len(copied) - expected, 0)]]
