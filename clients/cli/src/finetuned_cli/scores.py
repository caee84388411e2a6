"""Terminal view of an evaluation: the verdict, the scores of the columns, and the differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from finetuned.types import FineTuningJobEvaluation, FineTuningVerdict
from rich.text import Text

from finetuned_cli.output import Out, printable

_MAX_DIFFERENCES = 12
_STYLES = {"serve": "bold green", "cannot_tell": "bold yellow", "disputed": "bold yellow"}


def say_verdict(verdict: FineTuningVerdict, out: Out) -> None:
    """Print the sentences of a verdict to stderr."""
    out.say(verdict.sentence, _STYLES.get(verdict.kind, "bold"))
    out.say(verdict.recommendation)
    for reason in verdict.reasons or []:
        out.say(reason)
    for warning in verdict.warnings or []:
        out.say(f"warning: {warning}", "yellow")


def show(found: FineTuningJobEvaluation, report: dict[str, Any], out: Out) -> None:
    """Print an evaluation. `report` is the report in JSON, with all rows and answers."""
    verdict = found.verdict
    if verdict is None:
        return
    out.console.print(
        Text(printable(verdict.sentence), style=_STYLES.get(verdict.kind, "bold")), soft_wrap=False
    )
    out.line(verdict.recommendation)
    for reason in verdict.reasons or []:
        out.line(reason)
    for warning in verdict.warnings or []:
        out.say(f"warning: {warning}", "yellow")
    metrics = sorted(report["metrics"], key=lambda metric: not metric.get("primary"))
    names = [metric["name"] for metric in metrics]
    out.say("")
    out.table(
        ["column", *names, "loss", "tokens", "seconds"],
        [_column(column, report["rows"], names) for column in report["columns"]],
    )
    differences = sorted(verdict.differences or [], key=lambda one: bool(one.get("language")))
    out.say("")
    out.table(
        ["difference", "metric", "points", "95% interval", "p", "rows"],
        [_difference(one) for one in differences[:_MAX_DIFFERENCES]],
        empty="no differences",
    )
    if len(differences) > _MAX_DIFFERENCES:
        out.say(f"… and {len(differences) - _MAX_DIFFERENCES} more: see --report or --json")


def _column(
    column: dict[str, Any], rows: Iterable[dict[str, Any]], metrics: Sequence[str]
) -> list[str]:
    found = (row["answers"].get(column["name"]) for row in rows)
    answers = [answer for answer in found if answer and not answer.get("error")]
    scores = [_mean(a.get("scores", {}).get(metric) for a in answers) for metric in metrics]
    tokens = _mean(a.get("prompt_tokens", 0) + a.get("completion_tokens", 0) for a in answers)
    return [
        column["name"],
        *(_shown(None if score is None else score * 100, 1) for score in scores),
        _shown(column.get("loss"), 3),
        _shown(tokens, 0),
        _shown(_mean(a.get("latency_s") for a in answers), 2),
    ]


def _difference(one: dict[str, Any]) -> list[str]:
    label = f"{one['a']} vs. {one['b']}"
    low, high = (_points(one[end]) for end in ("low", "high"))
    return [
        f"{label}, {one['language']}" if one.get("language") else label,
        one["metric"],
        _points(one["mean"]),
        f"{low} to {high}",
        "<0.001" if one["adjusted_p"] < 0.001 else f"{one['adjusted_p']:.3f}",
        str(one["n"]),
    ]


def _mean(values: Iterable[Any]) -> float | None:
    kept = [v for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
    return fmean(kept) if kept else None


def _points(share: float) -> str:
    return f"{share * 100:+.1f}"


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
