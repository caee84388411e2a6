"""Tables of the report, which Markdown and HTML share."""

from __future__ import annotations

from service.datasets.report.parts import Table
from service.datasets.text.languages import language_name
from service.verdict.comparison import (
    PROMPT,
    TUNED,
    Column,
    Comparison,
    Cost,
    Forgetting,
    Metric,
    cost,
)
from service.verdict.differences import score
from service.verdict.evidence import is_better, is_worse
from service.verdict.report.text import name
from service.verdict.results import Difference, GateResult
from service.verdict.wording import interval, metric_name, points, prompt_name


def column_label(column: Column) -> str:
    """Return the column's name in a table, such as "base + prompt with 4 examples"."""
    if column.name == PROMPT:
        return f"base + {prompt_name(column).removeprefix('a ')}"
    return name(column.name)


def difference_label(found: Difference) -> str:
    """Return a difference's name, such as "tuned vs. base, Thai"."""
    label = f"{name(found.a)} vs. {name(found.b)}"
    return f"{label}, {language_label(found.language)}" if found.language else label


def language_label(language: str) -> str:
    """Return the language's English name, or its tag if no name is known."""
    return name(language_name(language))


def outcome(found: Difference) -> str:
    """Return what a difference shows: "better", "worse" or "undecided"."""
    if is_better(found):
        return "better"
    return "worse" if is_worse(found) else "undecided"


def scores_table(comparison: Comparison) -> Table:
    """Return the scores of all columns, the primary metric first."""
    metrics = sorted(comparison.metrics, key=lambda metric: not metric.primary)
    with_loss = any(column.loss is not None for column in comparison.columns)
    with_accuracy = any(column.token_accuracy is not None for column in comparison.columns)
    header = ["Column", *(name(metric_name(metric.name)) for metric in metrics)]
    header += ["loss"] * with_loss + ["token accuracy"] * with_accuracy
    rows = []
    for column in comparison.columns:
        row = [column_label(column)]
        row += [_scored(comparison, metric, column.name) for metric in metrics]
        row += [_number(column.loss, 3)] * with_loss
        row += [_percent(column.token_accuracy)] * with_accuracy
        rows.append(row)
    return Table(header, rows, row_headers=True, label="Scores by column")


def differences_table(differences: list[Difference]) -> Table:
    """Return all differences with their tests."""
    header = ["Difference", "metric", "points", "p", "p, corrected", "rows"]
    header += ["better / equal / worse", "detectable"]
    rows = [
        [
            difference_label(found),
            name(metric_name(found.metric)),
            " ".join(interval(found.mean, found.low, found.high)),
            _p(found.p_value),
            _p(found.adjusted_p),
            f"{found.n:,}",
            f"{found.better} / {found.equal} / {found.worse}",
            "-" if found.detectable is None else points(found.detectable),
        ]
        for found in differences
    ]
    return Table(header, rows, row_headers=True, label="Differences between columns")


def costs_table(comparison: Comparison) -> Table | None:
    """Return tokens and time per answer, compared with the tuned model's. None without answers."""
    costs = {column.name: cost(comparison, column.name) for column in comparison.columns}
    tuned = costs.get(TUNED)
    rows = [
        [
            column_label(column),
            f"{found.prompt_tokens:,.0f}",
            f"{found.completion_tokens:,.0f}",
            _number(found.latency_s, 2),
            _times(found, tuned),
        ]
        for column in comparison.columns
        if (found := costs[column.name]) is not None
    ]
    header = ["Column", "prompt tokens", "answer tokens", "seconds", "tokens, times tuned"]
    return Table(header, rows, row_headers=True, label="Cost per answer") if rows else None


def forgetting_table(found: Forgetting) -> Table:
    """Return the scores on the general set by language, the largest loss first."""
    rows = [
        [
            language_label(one.language),
            f"{one.rows:,}",
            points(one.base, 1),
            points(one.tuned, 1),
            signed(one.tuned - one.base),
        ]
        for one in sorted(found.languages, key=lambda one: one.tuned - one.base)
    ]
    header = ["Language", "rows", "base", "tuned", "change"]
    return Table(header, rows, row_headers=True, label="General set by language")


def gate_table(gate: GateResult) -> Table:
    """Return the conditions of a gate with their figures."""
    rows = [
        [
            name(found.key),
            name(found.condition),
            _measured(found.measured),
            "passed" if found.passed else "failed",
            name(found.reason or ""),
        ]
        for found in gate.conditions
    ]
    header = ["Condition", "required", "measured", "result", ""]
    return Table(header, rows, row_headers=True, label="Gate")


def signed(change: float) -> str:
    """Return a change in points with its sign, such as "+3.1" or "-12.0"."""
    text = points(change, 1)
    return f"+{text}" if change > 0 and float(text) != 0 else text


def _scored(comparison: Comparison, metric: Metric, column: str) -> str:
    found = score(comparison, metric, column)
    return "-" if found is None else " ".join(interval(found.mean, found.low, found.high))


def _times(found: Cost, tuned: Cost | None) -> str:
    return f"{found.tokens / tuned.tokens:.1f}" if tuned and tuned.tokens else "-"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _measured(value: float | str | None) -> str:
    if value is None:
        return "-"
    return name(value) if isinstance(value, str) else f"{value:.4g}"
