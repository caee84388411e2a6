"""Tests whether two columns are equally good, with Holm's correction, and computes power.

Power is the smallest difference that n rows can detect, and the rows that a difference needs.
Both follow the rules of the verdict: a difference is found if its corrected p-value is at most 5%,
its interval excludes 0, and it is at least as large as the smallest that matters. For a verdict
that needs several differences, all must be found with 80% probability.

The sample size of the test is that of the paired t-test with Guenther's correction (Guenther,
Sample Size Formulas for Normal Theory T Tests, The American Statistician 35, 1981):

    k = ((z_alpha + z_power) * deviation / difference)^2 + z_alpha^2 / 2

`k` counts independent clusters, and `deviation` is the standard error of the mean times sqrt(k).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.verdict.intervals import Clusters, Floats, normal_quantile, share_limit, skewness_shift
from service.verdict.thresholds import ALPHA

SEED = 15
FLIPS = 20_000
# Up to 2^16 sign patterns are enumerated, which makes the test exact.
_MAX_ENUMERATED = 16
_CHUNK_SIGNS = 2_000_000
# Sums that differ by rounding errors count as equal.
_TOLERANCE = 1e-9
POWER = 0.8
_Z_INTERVAL = normal_quantile(1 - ALPHA / 2)
_MOST_CLUSTERS = 10_000_000
_ROUNDING = 1e-9


def mcnemar_exact(better: int, worse: int) -> float:
    """Return the two-sided p-value of McNemar's exact conditional test.

    `better` and `worse` count the rows that only one of the two columns got right. If the columns
    are equally good, each such row is a fair coin toss.
    """
    tosses, fewer = better + worse, min(better, worse)
    patterns = tail = 1
    for k in range(1, fewer + 1):
        patterns = patterns * (tosses - k + 1) // k
        tail += patterns
    share: float = 2 * tail / 2**tosses
    return min(1.0, share)


def sign_flip(differences: Clusters) -> float:
    """Return the two-sided p-value of Fisher's randomization test on paired differences.

    If the columns are equally good, the sum of each cluster's differences may as well have the
    opposite sign. The p-value is the share of sign patterns with a total at least as far from 0 as
    the observed one. Up to 16 clusters, all patterns are counted; otherwise, 20,000 random ones and
    the observed one (Phipson and Smyth, Statistical Applications in Genetics 9, 2010).
    """
    sums = differences.sums[np.abs(differences.sums) > _TOLERANCE]
    observed = abs(float(sums.sum())) - _TOLERANCE
    if len(sums) <= _MAX_ENUMERATED:
        totals = _all_totals(sums)
        return float((np.abs(totals) >= observed).mean())
    extreme = _extreme_flips(sums, observed)
    return (extreme + 1) / (FLIPS + 1)


def _all_totals(sums: Floats) -> Floats:
    totals = np.zeros(1)
    for value in sums:
        totals = np.concatenate([totals + value, totals - value])
    return totals


def _extreme_flips(sums: Floats, observed: float) -> int:
    random = np.random.default_rng(SEED)
    octets = math.ceil(len(sums) / 8)
    chunk = max(1, _CHUNK_SIGNS // len(sums))
    extreme = 0
    for start in range(0, FLIPS, chunk):
        drawn = random.integers(0, 256, (min(chunk, FLIPS - start), octets), dtype=np.uint8)
        negative = np.unpackbits(drawn, axis=1, count=len(sums)).astype(float)
        # einsum instead of @: BLAS would start threads beside a training for a small product.
        totals = sums.sum() - 2 * np.einsum("ij,j->i", negative, sums)
        extreme += int((np.abs(totals) >= observed).sum())
    return extreme


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for multiple comparisons, in the given order.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of
    Statistics 6, 1979.
    """
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = largest
    return adjusted


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What it takes to find a difference.

    `tests` is the number of p-values that the correction counts, and `together` the number of
    differences that must all be found. `rival` is the mean score that a further answer could lose,
    and `skewness` that of the differences. `change` is the mean size of the differences that are
    not 0. `least` is the smallest difference that matters.
    """

    tests: int = 1
    together: int = 1
    rival: float = 0.0
    skewness: float = 0.0
    least: float = 0.0
    change: float = 0.0


_TEST_ONLY = Rule()


def detectable_difference(
    standard_error: float | None, clusters: int, rule: Rule = _TEST_ONLY
) -> float | None:
    """Return the smallest true difference that is found with 80% probability.

    None if there are too few clusters to detect any difference of scores from 0 to 1.
    """
    alpha, power = ALPHA / rule.tests, 1 - (1 - POWER) / rule.together
    z_alpha, z_power = normal_quantile(1 - alpha / 2), normal_quantile(power)
    correction = z_alpha**2 / 2
    if standard_error is None or clusters <= correction + 1:
        return None
    by_test = (z_alpha + z_power) * standard_error * math.sqrt(clusters / (clusters - correction))
    unseen = share_limit(0, clusters)
    shift = skewness_shift(max(-rule.skewness, 0), _Z_INTERVAL, clusters)
    observed = max(
        rule.least,
        unseen / (1 - unseen) * rule.rival,
        (_Z_INTERVAL + shift) * standard_error,
    )
    found = max(by_test, observed + z_power * standard_error)
    # The test needs c differences that are not 0, all of one sign: 2 * 0.5^c <= alpha.
    changed = math.ceil(1 - math.log2(alpha))
    if changed > clusters:
        return None
    found = max(found, rule.change * share_limit(changed - 1, clusters, 1 - power))
    return found if found <= 1 else None


def rows_needed(
    difference: float,
    *,
    standard_error: float,
    clusters: int,
    rows: int,
    rule: Rule = _TEST_ONLY,
) -> int:
    """Return the total number of rows needed to detect a difference with 80% power.

    `standard_error`, `clusters` and `rows` describe the sample at hand; new rows are assumed to be
    clustered like it.

    Raises:
        ValueError: The difference is 0, which no number of rows detects.
    """
    if difference == 0:
        raise ValueError("no number of rows detects a difference of 0")

    def suffice(k: int) -> bool:
        found = detectable_difference(standard_error * math.sqrt(clusters / k), k, rule)
        return found is not None and found <= abs(difference) + _ROUNDING

    needed = bisect_left(range(1, _MOST_CLUSTERS), True, key=suffice) + 1
    return math.ceil(needed * rows / clusters - _ROUNDING)
