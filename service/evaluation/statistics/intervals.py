"""95% confidence intervals of a mean, clustered by prompt.

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

from service.evaluation.statistics.clusters import Clusters
from service.evaluation.statistics.quantiles import t_quantile

LEVEL = 0.95
_TAIL = (1 - LEVEL) / 2
_SHARE_STEP = 1e-4


def difference_interval(differences: Clusters, rival: float) -> tuple[float, float]:
    """Return the interval of a mean paired difference between scores from 0 to 1.

    `rival` is the mean score of the column that is subtracted: a further answer can lose as much,
    and gain the rest. Swapping the two columns mirrors the interval.
    """
    return _interval(differences, (-rival, 1 - rival), (-1.0, 1.0))


def mean_interval(scores: Clusters) -> tuple[float, float]:
    """Return the interval of a mean score from 0 to 1."""
    return _interval(scores, (0.0, 1.0), (0.0, 1.0))


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
