"""Distributions of per-row numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.datasets.report.report import Distribution, Histogram

_BINS = 20


def distribution(values: Any) -> Distribution | None:
    """Return the distribution of an array of nonnegative integers, or None if it is empty."""
    numbers = np.asarray(values, dtype=np.int64)
    if not len(numbers):
        return None
    low, median, high, top = np.percentile(numbers, (0, 50, 95, 100), method="lower")
    return Distribution(
        min=int(low),
        p50=int(median),
        p95=int(high),
        max=int(top),
        mean=round(float(numbers.mean()), 2),
        total=int(numbers.sum()),
        histogram=_histogram(numbers),
    )


def _histogram(numbers: np.ndarray[Any, np.dtype[np.int64]]) -> Histogram:
    """Make a histogram with one bin per number if the range is small, or else geometric bins."""
    low, top = int(numbers.min()), int(numbers.max())
    if top - low < _BINS:
        edges: Sequence[float] = [float(edge) for edge in range(low, top + 2)]
    else:
        steps = np.unique(np.geomspace(max(low, 1), top + 1, _BINS + 1).round())
        edges = [float(step) for step in steps]
        edges[0] = min(edges[0], low)
    counts, _ = np.histogram(numbers, bins=np.array(edges))
    return Histogram(list(edges), [int(count) for count in counts])
