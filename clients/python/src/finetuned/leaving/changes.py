"""How much a score changed from the old model to the new one, and what that means."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal

from pydantic import BaseModel

Verdict = Literal["as_good", "worse", "cannot_tell", "no_model"]
MARGIN_POINTS = 2.0
"""A loss of up to this much still counts as being as good."""
LEAST_ROWS = 10
_RESAMPLES = 1000
_BOOTSTRAPPED_ROWS = 1000  # with more, the normal interval is as good, and faster


class Change(BaseModel):
    """The change of one grader's mean score in points of 100, with its 95% interval."""

    grader: str
    rows: int
    old: float
    new: float
    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, grader: str, pairs: Sequence[tuple[float, float]]) -> Change:
        """Compare the scores, from 0 to 1, of old and new answers to the same prompts."""
        differences = [(new - old) * 100 for old, new in pairs]
        low, high = interval(differences)
        return cls(
            grader=grader,
            rows=len(pairs),
            old=fmean(old for old, _ in pairs) * 100,
            new=fmean(new for _, new in pairs) * 100,
            mean=fmean(differences),
            low=low,
            high=high,
        )

    @property
    def verdict(self) -> Verdict:
        """The verdict by this grader alone."""
        if self.rows < LEAST_ROWS:
            return "cannot_tell"
        if self.low >= -MARGIN_POINTS:
            return "as_good"
        return "worse" if self.high < 0 else "cannot_tell"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95% interval of a mean: by a seeded bootstrap, or normal for many values."""
    mean = fmean(values)
    if len(values) < 2:
        return mean, mean
    if len(values) > _BOOTSTRAPPED_ROWS:
        half = 1.96 * stdev(values) / len(values) ** 0.5
        return mean - half, mean + half
    draw = random.Random(0)  # noqa: S311 - statistics, not a secret
    means = sorted(fmean(draw.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    return means[round(0.025 * _RESAMPLES)], means[round(0.975 * _RESAMPLES) - 1]


def conclude(changes: Sequence[Change]) -> tuple[Verdict, str]:
    """Return the verdict by all graders, and a sentence that explains it."""
    if not changes:
        return "cannot_tell", (
            "Only the likeness to the old answers was measured: record prompts that end with the "
            "expected answer, or give --graders."
        )
    verdicts = {change.verdict: change for change in changes}
    worst: tuple[Verdict, ...] = ("worse", "cannot_tell", "as_good")
    verdict = next(one for one in worst if one in verdicts)
    change = verdicts[verdict]
    measured = (
        f"by '{change.grader}', {change.mean:+.1f} points ({change.low:+.1f} to "
        f"{change.high:+.1f}) on {change.rows} rows"
    )
    if verdict == "worse":
        return verdict, f"The new model is worse: {measured}."
    if verdict == "as_good":
        return verdict, f"The new model is as good, up to {MARGIN_POINTS:g} points: {measured}."
    few = f" There must be {LEAST_ROWS} rows." if change.rows < LEAST_ROWS else ""
    return verdict, f"The difference is too uncertain: {measured}.{few}"
