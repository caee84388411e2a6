"""Metrics of the answered requests."""

from __future__ import annotations

import functools
import logging

from service.core import metrics
from service.core.metric_types import Cell, HistogramCell
from service.inference.gateway.parameters import PATHS

log = logging.getLogger(__name__)


@functools.lru_cache(maxsize=1024)
def _cells(method: str, route: str, status: int) -> tuple[Cell, HistogramCell]:
    return (
        metrics.HTTP_REQUESTS.cell(method, route, str(status)),
        metrics.HTTP_SECONDS.cell(method, route),
    )


def observe(method: str, path: str, status: int, seconds: float) -> None:
    """Count an answered request."""
    route = path if path in PATHS else "unmatched"
    requests, histogram = _cells(method, route, status)
    requests.value += 1
    histogram.observe(seconds)
    if status >= 500:
        log.warning("%s %s %d", method, route, status)
