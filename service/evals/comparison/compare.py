"""Compares runs of an eval by item, with the intervals of verdicts.

The first run is the baseline. Items are paired by their content, so runs may have different files;
equal items of a run are paired in their order, and count as one cluster. If a run is of a version
before 0.3, items are paired by number, and only "passed" is compared.

An item that could not be answered or graded has no score. It is missing in the differences.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Literal

from service.evals.records import ItemRow

PASSED: Final = "passed"
"""The metric that is 1 if all graders passed an item, and 0 if one did not."""
_EQUAL: Final = 1e-9  # differences smaller than a rounding error count as equal
Change = Literal["worse", "missing", "equal", "better"]
_ORDER: Final[Mapping[Change, int]] = {"worse": 0, "missing": 1, "equal": 2, "better": 3}


@dataclass(frozen=True)
class Score:
    """Mean score with its 95% interval, which is None if scores are not from 0 to 1."""

    metric: str
    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class ScoreDifference(Score):
    """Mean difference to the baseline on the items that have both scores, with its interval."""

    missing: int
    better: int
    equal: int
    worse: int


@dataclass(frozen=True)
class ComparedRun:
    """Figures of a run: its scores, differences to the baseline, and means of its answers."""

    scores: list[Score]
    differences: list[ScoreDifference]
    prompt_tokens: float | None
    completion_tokens: float | None
    latency_s: float | None
    latency_p95_s: float | None


@dataclass(frozen=True)
class ComparedItem:
    """An item, with its number in each run, and the largest loss of its mean score."""

    numbers: tuple[int | None, ...]
    change: Change
    difference: float | None


@dataclass(frozen=True)
class RunComparison:
    """Figures by run, and all items: those that got worse first."""

    runs: list[ComparedRun]
    items: list[ComparedItem]


Rows = Mapping[int, ItemRow]
_Key = tuple[str, int]


def compare_rows(graders: Sequence[str], runs: Sequence[Rows]) -> RunComparison:
    """Compare the rows of two or more runs. `graders` are the names of the eval's graders."""
    paired = [dict(keys) for keys in _keys(runs)]
    return RunComparison(
        [_run(graders, runs, paired, place) for place in range(len(runs))],
        sorted(_items(len(graders), runs, paired), key=_by_loss),
    )


def _keys(runs: Sequence[Rows]) -> Iterator[Iterator[tuple[_Key, int]]]:
    """Yield pairs of key and item number for each run."""
    by_content = all(row.figures for rows in runs for row in rows.values())
    for rows in runs:
        yield _content_keys(rows) if by_content else ((("", number), number) for number in rows)


def _content_keys(rows: Rows) -> Iterator[tuple[_Key, int]]:
    seen: Counter[str] = Counter()
    for number in sorted(rows):
        figures = rows[number].figures
        assert figures is not None
        yield (figures.digest, seen[figures.digest]), number
        seen[figures.digest] += 1


def _run(
    graders: Sequence[str], runs: Sequence[Rows], paired: Sequence[Mapping[_Key, int]], place: int
) -> ComparedRun:
    rows = runs[place]
    answers = [row.figures for row in rows.values() if row.figures is not None]
    sampled = [one for one in answers if one.latency_s is not None]
    latencies = sorted(one.latency_s for one in sampled if one.latency_s is not None)
    return ComparedRun(
        scores=[_score(name, at, rows, paired[place]) for at, name in _metrics(graders)],
        differences=[_difference(name, at, runs, paired, place) for at, name in _metrics(graders)]
        if place
        else [],
        prompt_tokens=fmean(one.prompt_tokens for one in sampled) if sampled else None,
        completion_tokens=fmean(one.completion_tokens for one in sampled) if sampled else None,
        latency_s=fmean(latencies) if latencies else None,
        latency_p95_s=latencies[math.ceil(0.95 * len(latencies)) - 1] if latencies else None,
    )


def _metrics(graders: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the place of each metric among the graders, and its name. "passed" is at -1."""
    return enumerate([PASSED, *graders], -1)


def _value(row: ItemRow, place: int) -> float | None:
    if place < 0:
        return None if row.status == "error" else float(row.status == "pass")
    scores = () if row.figures is None else row.figures.scores
    return scores[place] if place < len(scores) else None


def _score(name: str, place: int, rows: Rows, keys: Mapping[_Key, int]) -> Score:
    # Imported here, so that the API starts without numpy.
    from service.verdict.intervals import Clusters, mean_interval

    known = {key: _value(rows[number], place) for key, number in keys.items()}
    found = {key: value for key, value in known.items() if value is not None}
    if not found:
        return Score(name, None, None, None, 0)
    low, high = None, None
    if _is_bounded(found.values()):
        low, high = mean_interval(Clusters.group(list(found.values()), list(map(_cluster, found))))
    return Score(name, fmean(found.values()), low, high, len(found))


def _difference(
    name: str,
    place: int,
    runs: Sequence[Rows],
    paired: Sequence[Mapping[_Key, int]],
    run: int,
) -> ScoreDifference:
    # Imported here, so that the API starts without numpy.
    from service.verdict.intervals import Clusters, difference_interval

    pairs = {
        key: (_value(runs[0][paired[0][key]], place), _value(runs[run][number], place))
        for key, number in paired[run].items()
        if key in paired[0]
    }
    both = {k: (a, b) for k, (a, b) in pairs.items() if a is not None and b is not None}
    missing = len(paired[0].keys() | paired[run].keys()) - len(both)
    if not both:
        return ScoreDifference(name, None, None, None, 0, missing, 0, 0, 0)
    changes = [b - a for a, b in both.values()]
    low, high = None, None
    if _is_bounded(value for pair in both.values() for value in pair):
        clusters = Clusters.group(changes, list(map(_cluster, both)))
        low, high = difference_interval(clusters, fmean(a for a, _ in both.values()))
    better = sum(change > _EQUAL for change in changes)
    worse = sum(change < -_EQUAL for change in changes)
    equal = len(changes) - better - worse
    return ScoreDifference(
        name, fmean(changes), low, high, len(changes), missing, better, equal, worse
    )


def _cluster(key: _Key) -> object:
    return key[0] or key


def _is_bounded(scores: Iterable[float]) -> bool:
    return all(0 <= score <= 1 for score in scores)


def _items(
    graders: int, runs: Sequence[Rows], paired: Sequence[Mapping[_Key, int]]
) -> Iterator[ComparedItem]:
    for key in dict.fromkeys(key for keys in paired for key in keys):
        numbers = tuple(keys.get(key) for keys in paired)
        rows = [
            None if number is None else run[number]
            for run, number in zip(runs, numbers, strict=True)
        ]
        changes = [_change(graders, rows[0], row) for row in rows[1:]]
        change, difference = min(changes, key=lambda one: (_ORDER[one[0]], one[1] or 0.0))
        yield ComparedItem(numbers, change, difference)


def _change(
    graders: int, before: ItemRow | None, after: ItemRow | None
) -> tuple[Change, float | None]:
    """Return how an item changed. That it passes no longer, or now does, decides."""
    if before is None or after is None or "error" in (before.status, after.status):
        return "missing", None
    pairs = [(_value(before, place), _value(after, place)) for place in range(graders)]
    changes = [b - a for a, b in pairs if a is not None and b is not None]
    passed = (after.status == "pass") - (before.status == "pass")
    difference = fmean(changes) if changes else float(passed)
    decisive = passed or difference
    if abs(decisive) <= _EQUAL:
        return "equal", 0.0
    return ("better" if decisive > 0 else "worse"), difference


def _by_loss(item: ComparedItem) -> tuple[int, float, int]:
    number = next(number for number in item.numbers if number is not None)
    return _ORDER[item.change], item.difference or 0.0, number
