"""Paired differences summed by cluster."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A smaller variance is a rounding error.
_LEAST_VARIANCE = 1e-24


@dataclass(frozen=True)
class Clusters:
    """Values grouped by cluster: the sum and number of the values in each, in order of appearance.

    Rows of a cluster, such as answers to the same prompt, are not independent. So resampling and
    sign flips treat a cluster as a unit.
    """

    sums: Floats
    sizes: Floats

    @classmethod
    def of(cls, values: Sequence[float], clusters: Sequence[Hashable]) -> Clusters:
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
