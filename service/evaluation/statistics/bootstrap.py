"""Bootstrap confidence intervals of a mean, clustered by prompt.

The method is the expanded percentile interval (Hesterberg, What Teachers Should Know about the
Bootstrap, The American Statistician 69, 2015): percentiles of resampled means, moved
outward so that a sample of k clusters gets the width of a t interval. Among nominal 95% intervals
in simulations of 600 samples each:

| differences | k | percentile | BCa | expanded percentile |
|---|---|---|---|---|
| normal | 10 | 90.5% | 89.8% | 93.7% |
| skewed, like chrF | 20 | 91.0% | 95.2% | 93.8% |
| normal, clusters of 1 to 4 rows | 10 | 89.7% | 88.8% | 95.0% |
| binary, 10% better and 10% worse | 20 | 94.8% | 89.0% | 95.0% |

BCa corrects for skew, but neither for small samples nor for the many ties of binary scores.
"""

from __future__ import annotations

import math

import numpy as np

from service.evaluation.statistics.clusters import Clusters, Floats
from service.evaluation.statistics.quantiles import normal_cdf, t_quantile

RESAMPLES = 10_000
LEVEL = 0.95
SEED = 15
_CHUNK_DRAWS = 20_000  # 160 kB of indices at a time, which stay in the processor's cache


def difference_interval(differences: Clusters, *, binary: bool = False) -> tuple[float, float]:
    """Return the 95% confidence interval of a mean paired difference in [-1, 1].

    If `binary`, the scores are 0 or 1. Two pseudo-rows are then added, half a row for each of the
    four outcomes of a pair (Agresti and Min, Statistics in Medicine 24, 2005). Without them, ten
    rows that all improved would yield an interval of zero width: for 90% better and 10% equal at
    k = 20, the coverage is 87% without pseudo-rows and 97% with them. Swapping the two columns
    mirrors the interval exactly.
    """
    if differences.mean < 0:
        low, high = difference_interval(
            Clusters(-differences.sums, differences.sizes), binary=binary
        )
        return -high, -low
    pseudo = [(0.5, 0.5), (-0.5, 0.5), (0.0, 1.0)] if binary else []
    return _interval(differences, pseudo, (-1.0, 1.0))


def mean_interval(scores: Clusters, *, binary: bool = False) -> tuple[float, float]:
    """Return the 95% confidence interval of a mean score in [0, 1].

    If `binary`, one success and one failure are added as pseudo-rows, as in Laplace's rule.
    """
    pseudo = [(1.0, 1.0), (0.0, 1.0)] if binary else []
    return _interval(scores, pseudo, (0.0, 1.0))


def _interval(
    clusters: Clusters, pseudo: list[tuple[float, float]], limits: tuple[float, float]
) -> tuple[float, float]:
    if len(clusters) < 2:
        return limits
    mean = clusters.mean
    sums = np.concatenate([clusters.sums, [value for value, _ in pseudo]])
    sizes = np.concatenate([clusters.sizes, [size for _, size in pseudo]])
    tail = _expanded_tail(len(clusters))
    low, high = np.quantile(_resampled_means(sums, sizes), [tail, 1 - tail])
    # Pseudo-rows move the interval toward the middle, but never past the observed mean.
    return min(float(low), mean), max(float(high), mean)


def _expanded_tail(k: int) -> float:
    """Return the share of resampled means below the interval, less than 2.5% for small `k`."""
    quantile = t_quantile(1 - (1 - LEVEL) / 2, k - 1)
    return normal_cdf(-math.sqrt(k / (k - 1)) * quantile)


def _resampled_means(sums: Floats, sizes: Floats) -> Floats:
    """Return the means of resamples of the clusters, drawn with replacement."""
    random = np.random.default_rng(SEED)
    k = len(sums)
    chunk = max(1, _CHUNK_DRAWS // k)
    each_is_one_row = bool((sizes == 1).all())
    means = []
    for start in range(0, RESAMPLES, chunk):
        drawn = random.integers(0, k, (min(chunk, RESAMPLES - start), k))
        rows: float | Floats = k if each_is_one_row else sizes.take(drawn).sum(axis=1)
        means.append(sums.take(drawn).sum(axis=1) / rows)
    return np.concatenate(means)
