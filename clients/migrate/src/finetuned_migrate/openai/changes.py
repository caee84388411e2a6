"""How much a score changed from the old model to the new one, and what that means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import Literal

from pydantic import BaseModel

Verdict = Literal["as_good", "worse", "cannot_tell", "no_model"]
MARGIN_POINTS = 2.0
"""A loss of up to this much still counts as being as good."""
LEAST_ROWS, LEAST_PASS_FAIL_ROWS = 20, 30
"""Rows without which nothing is said, and those of graders that only pass or fail."""
_Z = NormalDist().inv_cdf(0.975)


class Change(BaseModel):
    """The change of one grader's mean score in points of 100, with its 95% interval."""

    grader: str
    rows: int
    least_rows: int = LEAST_ROWS
    old: float
    new: float
    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, grader: str, pairs: Sequence[tuple[float, float]]) -> Change:
        """Compare the scores, from 0 to 1, of old and new answers to the same prompts."""
        differences = [new - old for old, new in pairs]
        old = fmean(old for old, _ in pairs)
        low, high = interval(differences, old)
        passes_or_fails = all(score in (0, 1) for pair in pairs for score in pair)
        return cls(
            grader=grader,
            rows=len(pairs),
            least_rows=LEAST_PASS_FAIL_ROWS if passes_or_fails else LEAST_ROWS,
            old=old * 100,
            new=fmean(new for _, new in pairs) * 100,
            mean=fmean(differences) * 100,
            low=low * 100,
            high=high * 100,
        )

    @property
    def verdict(self) -> Verdict:
        """The verdict by this grader alone."""
        if self.rows < self.least_rows:
            return "cannot_tell"
        if self.low >= -MARGIN_POINTS:
            return "as_good"
        return "worse" if self.high < 0 else "cannot_tell"


def interval(differences: Sequence[float], old: float) -> tuple[float, float]:
    """Return the 95% interval of a mean difference of scores, as evaluations compute it.

    It is Student's, extended by skewness and by outcomes that this many rows miss in 2.5% of
    samples: an answer could lose the mean score `old`, or gain the rest. A test compares it with
    the server's.
    """
    n, mean = len(differences), fmean(differences)
    if n < 2:
        return -1.0, 1.0
    error, quantile = stdev(differences) / math.sqrt(n), _t_quantile(n - 1)
    shift = _skewness(differences, mean) * (2 * quantile**2 + 1) / (6 * math.sqrt(n))
    unseen = 1 - 0.025 ** (1 / n)
    worst, best = ((1 - unseen) * mean + unseen * extreme for extreme in (-old, 1 - old))
    low = min(mean - (quantile - min(shift, 0)) * error, worst, mean)
    high = max(mean + (quantile + max(shift, 0)) * error, best, mean)
    return max(low, -1.0), min(high, 1.0)


def _skewness(values: Sequence[float], mean: float) -> float:
    variance = fmean((value - mean) ** 2 for value in values)
    cubes = fmean((value - mean) ** 3 for value in values)
    return cubes / math.pow(variance, 1.5) if variance > 1e-24 else 0.0


def _t_quantile(degrees: int) -> float:
    """Return the 97.5% quantile of Student's t, to 3 digits from 9 degrees of freedom on.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    terms = (
        _Z,
        (_Z**3 + _Z) / 4,
        (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / 96,
        (3 * _Z**7 + 19 * _Z**5 + 17 * _Z**3 - 15 * _Z) / 384,
    )
    return sum(term / math.pow(degrees, power) for power, term in enumerate(terms))


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
    if change.rows < change.least_rows:
        return verdict, (
            f"Too few rows to say: {measured}. Record at least {change.least_rows} prompts."
        )
    return verdict, f"The difference is too uncertain: {measured}. Record more prompts."
