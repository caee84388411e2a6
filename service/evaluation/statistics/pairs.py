"""Scores of one or two columns on the rows that they answered, without numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

from service.evaluation.comparison import Answer, Comparison, Metric, Row


@dataclass(frozen=True)
class Pairs:
    """Differences `a` minus `b` by row, positive if `a` is better, and the cluster of each row.

    `rival` is the mean score of `b`, turned around if less is better; 0 if no row has both scores.
    `missing` counts the rows without a score of both columns.
    """

    differences: list[float]
    clusters: list[str]
    rival: float
    missing: int

    @property
    def mean(self) -> float | None:
        """Mean difference; None if no row has both scores."""
        return fmean(self.differences) if self.differences else None


@dataclass(frozen=True)
class Scores:
    """Scores of a column by row, and the cluster of each row."""

    scores: list[float]
    clusters: list[str]
    missing: int

    @property
    def mean(self) -> float | None:
        """Mean score; None if no row has a score."""
        return fmean(self.scores) if self.scores else None


def paired(
    comparison: Comparison, metric: Metric, a: str, b: str, *, language: str | None = None
) -> Pairs:
    """Return the paired differences between two columns, of all rows or those of a language."""
    sign = 1.0 if metric.higher_is_better else -1.0
    differences, clusters, others, missing = [], [], [], 0
    for row in _rows(comparison, language):
        one, other = score_of(row, a, metric), score_of(row, b, metric)
        if one is None or other is None:
            missing += 1
            continue
        differences.append(sign * (one - other))
        clusters.append(row.cluster)
        others.append(other if metric.higher_is_better else 1 - other)
    return Pairs(differences, clusters, fmean(others) if others else 0.0, missing)


def scores_of(
    comparison: Comparison, metric: Metric, column: str, *, language: str | None = None
) -> Scores:
    """Return the scores of a column, of all rows or those of a language."""
    rows = _rows(comparison, language)
    found = [(score_of(row, column, metric), row.cluster) for row in rows]
    kept = [(score, cluster) for score, cluster in found if score is not None]
    return Scores([score for score, _ in kept], [c for _, c in kept], len(rows) - len(kept))


def score_of(row: Row, column: str, metric: Metric) -> float | None:
    """Return the score of a column's answer to a row; None if it has no finite score."""
    answer: Answer | None = row.answers.get(column)
    if answer is None or answer.error is not None:
        return None
    score = answer.scores.get(metric.name)
    return score if score is not None and math.isfinite(score) else None


def _rows(comparison: Comparison, language: str | None) -> list[Row]:
    return [row for row in comparison.rows if language is None or row.language == language]
