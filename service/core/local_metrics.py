"""Counters and histograms for paths where those of prometheus-client cost too much.

A labeled `inc()` of prometheus-client takes a lock and a lookup, about 1 µs. Here the caller keeps
the cell of its labels and increments a plain integer. This is only correct for code of one event
loop: a scrape can read from anywhere, but only the loop writes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

OTHER = "other"


class Cell:
    """One number for one set of labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class HistogramCell:
    """Observations for one set of labels."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last one is above all bounds
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Record an observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


C = TypeVar("C")


class _Local(Collector, Generic[C]):
    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self.name, self.documentation, self.labels = name, documentation, tuple(labels)
        self._cells: dict[tuple[str, ...], C] = {}
        registry.register(self)

    def cell(self, *labels: str) -> C:
        """Return the cell of these labels, for the caller to keep."""
        cell = self._cells.get(labels)
        if cell is None:
            if len(labels) != len(self.labels):
                raise ValueError(f"{self.name} has the labels {self.labels}")
            cell = self._cells[labels] = self._new()
        return cell

    def clear(self) -> None:
        """Remove all cells. Nothing is exported until a new one is created."""
        self._cells.clear()

    def _new(self) -> C:
        raise NotImplementedError

    def _all(self) -> list[tuple[tuple[str, ...], C]]:
        return list(self._cells.items())  # a copy, because a scrape runs alongside the writers


class LocalCounter(_Local[Cell]):
    """A counter whose cells are plain numbers."""

    def _new(self) -> Cell:
        return Cell()

    def collect(self) -> Iterator[Metric]:
        """Return the counter in the format that Prometheus scrapes."""
        family = CounterMetricFamily(self.name, self.documentation, labels=self.labels)
        for labels, cell in self._all():
            family.add_metric(labels, cell.value)
        yield family


class LocalGauge(_Local[Cell]):
    """A gauge whose cells are plain numbers."""

    def _new(self) -> Cell:
        return Cell()

    def collect(self) -> Iterator[Metric]:
        """Return the gauge in the format that Prometheus scrapes."""
        family = GaugeMetricFamily(self.name, self.documentation, labels=self.labels)
        for labels, cell in self._all():
            family.add_metric(labels, cell.value)
        yield family


class LocalHistogram(_Local[HistogramCell]):
    """A histogram whose cells are plain lists of counts."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._bounds = tuple(sorted(buckets))
        super().__init__(name, documentation, labels, registry=registry)

    def _new(self) -> HistogramCell:
        return HistogramCell(self._bounds)

    def collect(self) -> Iterator[Metric]:
        """Return the histogram in the format that Prometheus scrapes: counts up to each bound."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.labels)
        for labels, cell in self._all():
            buckets, so_far = [], 0
            counts = list(cell.counts)
            for bound, count in zip([*self._bounds, float("inf")], counts, strict=True):
                so_far += count
                buckets.append((_text(bound), so_far))
            family.add_metric(labels, buckets, cell.total)
        yield family


def _text(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(float(bound))


class BoundedLabel:
    """Values of a label: the first `limit` distinct ones are kept, later ones become `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def value(self, text: str) -> str:
        """Return `text` itself or `other`."""
        if text in self._known:
            return text
        if len(self._known) < self._limit:
            self._known.add(text)
            return text
        return OTHER
