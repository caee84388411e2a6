"""Tests of the hypothesis that two columns are equally good, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from service.verdict.intervals import Clusters, Floats

SEED = 15
FLIPS = 20_000
# Up to 2^16 sign patterns are enumerated, which makes the test exact.
_MAX_ENUMERATED = 16
_CHUNK_SIGNS = 2_000_000
# Sums that differ by rounding errors count as equal.
_TOLERANCE = 1e-9


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
