"""Declares metrics, and provides their cells, which the code updates.

A `Group` declares metrics. The code gets the cell of a set of labels and updates it:

    STORAGE_ERRORS.cell("put", "full").inc()
    QUEUE_DEPTH.cell("cpu").set(3)
    HTTP_SECONDS.cell("GET", route).observe(seconds)

Cells are plain numbers, because a labeled `inc()` of prometheus-client takes a lock and a lookup,
about 1 µs; frequent code keeps its cells, and adds to their `value`. This is only correct for code
of one event loop: a scrape can read from anywhere, but only the loop writes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

OTHER = "other"


class Process(StrEnum):
    """Kinds of processes, as in the label `process` of `finetuned_build_info`."""

    API = "api"
    WORKER = "worker"
    ENGINE = "inference"


class Cell:
    """One number for one set of labels."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0.0

    def inc(self, by: float = 1) -> None:
        """Add to the number."""
        self.value += by

    def set(self, to: float) -> None:
        """Replace the number. For gauges, and for counters whose number is in Redis."""
        self.value = to


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


class Metric(Collector, Generic[C]):
    """A declared metric: its name, help text and labels, and the group that declares it."""

    kind: ClassVar[str]

    def __init__(
        self,
        group: Group,
        name: str,
        documentation: str,
        labels: Sequence[str],
        from_zero: Sequence[tuple[str, ...]],
    ) -> None:
        self.group, self.name, self.documentation = group, name, documentation
        self.labels, self._from_zero = tuple(labels), tuple(from_zero)
        self._cells: dict[tuple[str, ...], C] = {}
        group.registry.register(self)

    def cell(self, *labels: str) -> C:
        """Return the cell of these label values, which may be kept."""
        cell = self._cells.get(labels)
        if cell is None:
            if len(labels) != len(self.labels):
                raise ValueError(f"{self.name} has the labels {self.labels}")
            cell = self._cells[labels] = self._new()
        return cell

    def clear(self) -> None:
        """Remove all cells. Nothing is exported until a new one is created."""
        self._cells.clear()

    def begin(self) -> None:
        """Create the cells that are exported from the start of a process."""
        for labels in self._from_zero:
            self.cell(*labels)

    def _new(self) -> C:
        raise NotImplementedError

    def _all(self) -> list[tuple[tuple[str, ...], C]]:
        return list(self._cells.items())  # a copy, because a scrape runs alongside the writers


class _SingleValue(Metric[Cell]):
    """A metric with one number for each combination of label values."""

    _family: ClassVar[type[CounterMetricFamily | GaugeMetricFamily]]

    def _new(self) -> Cell:
        return Cell()

    def collect(self) -> Iterator[Family]:
        """Return the metric in the format that Prometheus scrapes."""
        family = self._family(self.name, self.documentation, labels=self.labels)
        for labels, cell in self._all():
            family.add_metric(labels, cell.value)
        yield family


class Counter(_SingleValue):
    """A counter."""

    kind = "counter"
    _family = CounterMetricFamily
    events: Mapping[tuple[str, ...], str] = {}
    """For a counter of outbox events: their types by label values."""


class Gauge(_SingleValue):
    """A gauge."""

    kind = "gauge"
    _family = GaugeMetricFamily

    def values(self) -> list[tuple[tuple[str, ...], float]]:
        """Return the label values and the number of each cell."""
        return [(labels, cell.value) for labels, cell in self._all()]

    def replace(self, values: Iterable[tuple[tuple[str, ...], float]]) -> None:
        """Replace all cells with `values`. Values with other labels are ignored."""
        cells = {labels: value for labels, value in values if len(labels) == len(self.labels)}
        for labels in self._cells.keys() - cells.keys():
            del self._cells[labels]
        for labels, value in cells.items():
            self.cell(*labels).set(value)


class Histogram(Metric[HistogramCell]):
    """A histogram."""

    kind = "histogram"

    def __init__(
        self,
        group: Group,
        name: str,
        documentation: str,
        labels: Sequence[str],
        from_zero: Sequence[tuple[str, ...]],
        *,
        buckets: Sequence[float],
    ) -> None:
        self._bounds = tuple(sorted(buckets))
        super().__init__(group, name, documentation, labels, from_zero)

    def _new(self) -> HistogramCell:
        return HistogramCell(self._bounds)

    def collect(self) -> Iterator[Family]:
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


@dataclass(frozen=True)
class Group:
    """Declares the metrics of one heading of docs/metrics.md.

    `processes` export them; `note` says more about where. A declaration can list label values to
    export `from_zero`, from the start of the process: Prometheus sees no increase when a counter
    appears with its first event, so an alert would miss that event. Counters without labels always
    start at 0. The gauges of a group that `is_read_from_redis` are unknown while Redis is down.
    """

    heading: str
    processes: tuple[Process, ...]
    note: str = ""
    is_read_from_redis: bool = False
    registry: CollectorRegistry = REGISTRY

    def counter(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        from_zero: Sequence[tuple[str, ...]] = (),
    ) -> Counter:
        """Declare a counter."""
        return Counter(self, name, documentation, labels, from_zero if labels else [()])

    def event_counter(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        events: Mapping[tuple[str, ...], str],
    ) -> Counter:
        """Declare a counter of events of the outbox, given as their types by label values.

        Their numbers are in Redis. Not from zero: a process that has not read the number must not
        export 0, because Prometheus would see an increase from 0 to the number.
        """
        counter = Counter(self, name, documentation, labels, [])
        counter.events = events
        return counter

    def gauge(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        from_zero: Sequence[tuple[str, ...]] = (),
    ) -> Gauge:
        """Declare a gauge."""
        return Gauge(self, name, documentation, labels, from_zero)

    def histogram(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        from_zero: Sequence[tuple[str, ...]] = (),
    ) -> Histogram:
        """Declare a histogram with these upper bounds of buckets."""
        return Histogram(self, name, documentation, labels, from_zero, buckets=buckets)


class BoundedLabel:
    """Bounds the values of a label: after `limit` distinct ones, others become `other`."""

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
