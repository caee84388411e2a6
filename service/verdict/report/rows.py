"""Rows of the report, worst first."""

from __future__ import annotations

from dataclasses import dataclass

from service.verdict.comparison import BASE, PROMPT, TUNED, Comparison, Metric, Row, score_of

_EQUAL = 1e-9


@dataclass(frozen=True)
class RankedRow:
    """A row with the tuned model's score minus those of base and prompt, from -1 to 1.

    Differences are positive if the tuned model is better, and None if an answer failed. They are in
    the primary metric, or in another one if the primary does not apply to the row.
    """

    row: Row
    place: int
    metric: Metric
    against_base: float | None
    against_prompt: float | None

    @property
    def label(self) -> str:
        """Line of the row in the held-out file, or its place if it has none."""
        return f"Row {self.place}" if self.row.line is None else f"Line {self.row.line}"


def ranked(comparison: Comparison) -> list[RankedRow]:
    """Return the rows, worst first: largest loss against the base, then lowest score of tuned.

    Rows without a difference, since an answer failed, come before all others.
    """
    found = []
    for place, row in enumerate(comparison.rows, 1):
        metric = _metric_of(comparison, row)
        sign = 1.0 if metric.higher_is_better else -1.0
        tuned, base, prompt = (score_of(row, column, metric) for column in (TUNED, BASE, PROMPT))
        against_base = None if tuned is None or base is None else sign * (tuned - base)
        against_prompt = None if tuned is None or prompt is None else sign * (tuned - prompt)
        order = (
            -2.0 if against_base is None else against_base,
            -2.0 if tuned is None else sign * tuned,
            place,
        )
        found.append((order, RankedRow(row, place, metric, against_base, against_prompt)))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def _metric_of(comparison: Comparison, row: Row) -> Metric:
    """Return the first metric that scores the row, the primary before others."""
    metrics = [comparison.primary, *comparison.metrics]
    scored = (m for m in metrics if any(score_of(row, name, m) is not None for name in row.answers))
    return next(scored, comparison.primary)


def outcome_of(difference: float | None) -> str:
    """Return "better", "equal", "worse", or "failed" if an answer is missing."""
    if difference is None:
        return "failed"
    if abs(difference) <= _EQUAL:
        return "equal"
    return "better" if difference > 0 else "worse"
