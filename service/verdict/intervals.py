"""Computes 95% confidence intervals of means, clustered by prompt.

An interval is the widest of three at each end:

1. Student's t interval on the clusters' means, with their cluster-robust standard error.
2. The same, shifted toward the longer tail by the skewness of the sample (Hall, The Bootstrap and
   Edgeworth Expansion, 1992, section 3.3).
3. The mean if an outcome that the sample does not show, the worst or best possible, had the largest
   share that k clusters may miss with a probability of 2.5%: 1 - 0.025^(1/k), which is 17% of 20.

The third is the rule for the tail: 20 gains of 8 points do not exclude that one answer in ten
breaks. Of 1,000 samples each, these shares of 95% intervals covered a mean of 0
(`python -m bench.evals.simulation --intervals`):

| differences | k | percentile | BCa | studentized | t | this |
|---|---|---|---|---|---|---|
| 90% gain 8 points, 10% fail | 20 | 84% | 83% | 84% | 84% | 100% |
| skewed: one in five jumps | 20 | 91% | 94% | 96% | 92% | 97% |
| 70% tied | 20 | 90% | 80% | 86% | 96% | 100% |
| pass or fail, 10% differ | 30 | 98% | 91% | 91% | 98% | 98% |
| symmetric | 20 | 94% | 94% | 96% | 96% | 100% |

The bootstraps (percentile, BCa, studentized) know only outcomes that they have seen, and BCa and
the studentized one fail on ties.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_NORMAL = NormalDist()
# Above this number of degrees of freedom, the t distribution's 97.5% quantile differs from the
# normal one by less than 0.3%.
_MAX_DEGREES = 1000
_BISECTIONS = 80
Floats = NDArray[np.float64]
# A smaller variance is a rounding error.
_LEAST_VARIANCE = 1e-24
LEVEL = 0.95
_TAIL = (1 - LEVEL) / 2
_SHARE_STEP = 1e-4


def normal_quantile(p: float) -> float:
    """Return the `p` quantile of the standard normal distribution."""
    return _NORMAL.inv_cdf(p)


@lru_cache(maxsize=4096)
def t_quantile(p: float, degrees: int) -> float:
    """Return the `p` quantile, above 0.5, of Student's t distribution."""
    if degrees > _MAX_DEGREES:
        return normal_quantile(p)
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < p:
        high *= 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, degrees) < p else (low, middle)
    return (low + high) / 2


def t_cdf(t: float, degrees: int) -> float:
    """Return the probability that a t variable with integer degrees of freedom is at most `t`.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    between = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + between / 2


@dataclass(frozen=True)
class Clusters:
    """Values grouped by cluster: the sum and number of the values in each, in order of appearance.

    Rows of a cluster, such as answers to the same prompt, are not independent. So resampling and
    sign flips treat a cluster as a unit.
    """

    sums: Floats
    sizes: Floats

    @classmethod
    def group(cls, values: Sequence[float], clusters: Sequence[Hashable]) -> Clusters:
        """Group values by cluster."""
        places: dict[Hashable, int] = {}
        index = [places.setdefault(cluster, len(places)) for cluster in clusters]
        count = len(places)
        sums, sizes = np.zeros(count), np.zeros(count)
        np.add.at(sums, index, values)
        np.add.at(sizes, index, 1.0)
        return cls(sums, sizes)

    def __len__(self) -> int:
        return len(self.sums)

    @property
    def mean(self) -> float:
        """Mean over all values, not over the means of clusters."""
        return float(self.sums.sum() / self.sizes.sum())

    @property
    def standard_error(self) -> float | None:
        """Cluster-robust standard error of the mean; None if there are fewer than two clusters.

        Source: Miller, Adding Error Bars to Evals, 2024, arXiv:2411.00640, with the factor
        k / (k - 1) for k clusters. With clusters of one value it is the usual s / sqrt(n).
        """
        k = len(self)
        if k < 2:
            return None
        squares = float((self._residuals**2).sum()) * k / (k - 1)
        return math.sqrt(squares) / float(self.sizes.sum())

    @property
    def skewness(self) -> float:
        """Skewness of the clusters' deviations from the mean; 0 if they do not deviate."""
        residuals = self._residuals
        variance = float((residuals**2).mean())
        return float((residuals**3).mean()) / variance**1.5 if variance > _LEAST_VARIANCE else 0.0

    @property
    def _residuals(self) -> Floats:
        return self.sums - self.mean * self.sizes


def difference_interval(differences: Clusters, rival: float) -> tuple[float, float]:
    """Return the interval of a mean paired difference between scores from 0 to 1.

    `rival` is the mean score of the column that is subtracted: a further answer can lose as much,
    and gain the rest.
    """
    return _interval(differences, (-rival, 1 - rival), (-1.0, 1.0))


def mean_interval(scores: Clusters) -> tuple[float, float]:
    """Return the interval of a mean score from 0 to 1."""
    return _interval(scores, (0.0, 1.0), (0.0, 1.0))


def wilson_interval(count: float, total: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share. `count` may contain halves."""
    z, share = normal_quantile(1 - _TAIL), count / total
    middle = share + z**2 / (2 * total)
    margin = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return (middle - margin) / scale, (middle + margin) / scale


def share_limit(count: int, total: int, miss: float = _TAIL) -> float:
    """Return the share of which a sample has `count` or fewer outcomes with the probability `miss`.

    By default, it is the upper limit of Clopper and Pearson's 95% interval.
    """
    if count == 0:
        return float(1 - miss ** (1 / total))
    low, high = count / total, 1.0
    while high - low > _SHARE_STEP:
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(count, total, middle) > miss else (low, middle)
    return high


def _at_most(count: int, total: int, share: float) -> float:
    """Return the probability of `count` or fewer outcomes with this share."""
    log, other = math.log(share), math.log1p(-share)
    of_total = math.lgamma(total + 1)
    return math.fsum(
        math.exp(
            of_total
            - math.lgamma(k + 1)
            - math.lgamma(total - k + 1)
            + k * log
            + (total - k) * other
        )
        for k in range(count + 1)
    )


def skewness_shift(skewness: float, quantile: float, clusters: int) -> float:
    """Return how far skewness shifts both limits of an interval, in standard errors."""
    return skewness * (2 * quantile**2 + 1) / (6 * math.sqrt(clusters))


def _interval(
    clusters: Clusters, extremes: tuple[float, float], limits: tuple[float, float]
) -> tuple[float, float]:
    k, mean, error = len(clusters), clusters.mean, clusters.standard_error
    if error is None:
        return limits
    quantile = t_quantile(1 - _TAIL, k - 1)
    shift = skewness_shift(clusters.skewness, quantile, k)
    unseen = share_limit(0, k)
    worst, best = ((1 - unseen) * mean + unseen * extreme for extreme in extremes)
    low = min(mean - (quantile - min(shift, 0)) * error, worst)
    high = max(mean + (quantile + max(shift, 0)) * error, best)
    # An observed mean may lie beyond both extremes, which are means as well.
    return max(min(low, mean), limits[0]), min(max(high, mean), limits[1])
