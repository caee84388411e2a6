"""Metrics of a job by step: reads them, and divides them into buckets that keep every extreme.

While a job runs, and for some time afterwards, its metrics are in its events. Later they are in its
result file, which has fewer columns. An event of a long job covers several steps, and has the
lowest, mean and highest value of each metric in them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from service.core.storage import StorageMissing
from service.files.records import Files
from service.jobs.records import JobRecord, Jobs
from service.jobs.result_files import COLUMNS, HIGHEST, LOWEST, REWARDS
from service.training.contract.protocol import StepDone

_NOT_METRICS: Final = frozenset({"type", "step", "total_steps"})
METRIC_NAMES: Final = dict.fromkeys(n for n in StepDone.model_fields if n not in _NOT_METRICS)
"""Names of all metrics that a step can have."""


class Figures(NamedTuple):
    """A metric in one or more steps, of which `last` is that of the last step."""

    lowest: float
    highest: float
    mean: float
    last: float


class Point(NamedTuple):
    """The metrics of the steps since the point before it, up to and including `step`."""

    step: int
    steps: int
    figures: Mapping[str, Figures]


class Series(msgspec.Struct):
    """A metric in buckets, as columns. Buckets in which it was not measured are left out."""

    steps: list[int] = []
    """The last step in each bucket for which the metric is known."""
    lowest: list[float] = []
    highest: list[float] = []
    mean: list[float] = []
    last: list[float] = []


class Interval:
    """Lowest, mean and highest values of the steps that get no event of their own."""

    def __init__(self) -> None:
        self._steps = 0
        self._values: dict[str, list[float]] = {}

    def add(self, step: StepDone) -> None:
        """Add a step."""
        self._steps += 1
        for name in METRIC_NAMES:
            value = getattr(step, name)
            if value is None:
                continue
            found = self._values.get(name)
            if found is None:
                self._values[name] = [value, value, value, 1]
                continue
            found[0] = min(found[0], value)
            found[1] += value
            found[2] = max(found[2], value)
            found[3] += 1

    def take(self) -> dict[str, Any]:
        """Return the field of the event of the last step if it covers several, and begin again."""
        steps, values = self._steps, self._values
        self._steps, self._values = 0, {}
        if steps < 2:
            return {}
        spans = {
            name: [_short(lowest), _short(total / count), _short(highest)]
            for name, (lowest, total, highest, count) in values.items()
            if lowest < highest
        }
        return {"interval": {"steps": steps, **spans}}


def _short(value: float) -> float:
    """Return a number with six digits, because Redis keeps thousands."""
    return float(f"{value:.6g}")


async def read_rows(jobs: Jobs, files: Files, job: JobRecord) -> list[dict[str, Any]]:
    """Return the metrics of a job by step, as they are stored."""
    rows = await jobs.metrics_of(job.project_id, job.id)
    if not rows:
        rows = await read_results(files, job)
    return rows


def points_of(
    rows: Iterable[Mapping[str, Any]],
    names: Container[str] = METRIC_NAMES,
    *,
    from_step: int | None = None,
    to_step: int | None = None,
) -> list[Point]:
    """Return the metrics with these names in a range of steps, both ends included."""
    first = 0 if from_step is None else from_step
    last = math.inf if to_step is None else to_step
    return [_point(row, names) for row in latest(rows) if first <= row["step"] <= last]


def latest(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return rows in the order of their steps, without those that were trained again."""
    kept: list[Mapping[str, Any]] = []
    for row in rows:
        while kept and kept[-1]["step"] >= row["step"]:
            kept.pop()
        kept.append(row)
    return kept


def _point(row: Mapping[str, Any], names: Container[str]) -> Point:
    interval = row.get("interval")
    steps = 1 if interval is None else interval["steps"]
    figures = {}
    for name, value in row.items():
        if name not in names:
            continue
        spread = None if interval is None else interval.get(name)
        if spread is None:
            figures[name] = Figures(value, value, value, value)
        else:
            lowest, mean, highest = spread
            figures[name] = Figures(min(lowest, value), max(highest, value), mean, value)
    return Point(row["step"], steps, figures)


async def read_results(files: Files, job: JobRecord) -> list[dict[str, Any]]:
    """Return the metrics in the result file of a job; none if it has been deleted."""
    if not job.result_files:
        return []
    record = await files.records.get(job.project_id, job.result_files[0])
    if record is None:
        return []
    try:
        text = (await files.storage.get_bytes(record.content_key)).decode()
    except StorageMissing:
        return []
    return [_of_results(row) for row in csv.DictReader(io.StringIO(text))]


def _of_results(row: Mapping[str, str]) -> dict[str, Any]:
    named = {metric: row.get(column) for column, metric in (COLUMNS | REWARDS).items()}
    found: dict[str, Any] = {metric: float(value) for metric, value in named.items() if value}
    found["step"] = int(found["step"])
    if row.get(LOWEST) and row.get(HIGHEST):
        spread = float(row[LOWEST]), found["train_loss"], float(row[HIGHEST])
        found["interval"] = {"steps": 1, "train_loss": spread}
    return found


def divide(
    points: Sequence[Point], most: int, names: Iterable[str] = METRIC_NAMES
) -> tuple[int, dict[str, Series]]:
    """Return the number of steps in a bucket, and the series of each metric that was measured.

    There are at most `most` buckets of the same number of steps.
    """
    if not points:
        return 1, {}
    first = points[0].step
    width = max(1, math.ceil((points[-1].step - first + 1) / most))
    series = {name: _divided(points, name, first, width) for name in names}
    return width, {name: found for name, found in series.items() if found.steps}


def _divided(points: Sequence[Point], name: str, first: int, width: int) -> Series:
    series = Series()
    bucket, weight, total = -1, 0, 0.0
    for point in points:
        found = point.figures.get(name)
        if found is None:
            continue
        at = (point.step - first) // width
        if at != bucket:
            bucket, weight, total = at, 0, 0.0
            for column in (series.steps, series.lowest, series.highest, series.mean, series.last):
                column.append(0)
            series.lowest[-1], series.highest[-1] = found.lowest, found.highest
        weight += point.steps
        total += found.mean * point.steps
        series.steps[-1], series.last[-1] = point.step, found.last
        series.lowest[-1] = min(series.lowest[-1], found.lowest)
        series.highest[-1] = max(series.highest[-1], found.highest)
        series.mean[-1] = total / weight
    return series
