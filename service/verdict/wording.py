"""Puts numbers and names into words for verdicts and reports. A point is 1% of a score."""

from __future__ import annotations

from collections.abc import Sequence

from service.verdict.comparison import BASE, PROMPT, TUNED
from service.verdict.results import Figures

_METRICS = {
    "chrf": "chrF",
    "exact": "exact match",
    "label": "correct label",
    "json_schema": "valid JSON",
    "tool_call": "correct tool call",
    "language": "right language",
    "judge": "preference by the judge",
}
_COLUMNS = {BASE: "the base", PROMPT: "the best prompt", TUNED: "tuned"}
# Below this width of an interval in points, integers would hide its limits.
_NARROW_POINTS = 5


def metric_name(metric: str) -> str:
    """Return the metric's name for readers, such as "exact match"."""
    return _METRICS.get(metric, metric.replace("_", " "))


def unit(metric: str) -> str:
    """Return the unit of a difference, such as "chrF" or "points of exact match"."""
    return "chrF" if metric == "chrf" else f"points of {metric_name(metric)}"


def column_name(column: str) -> str:
    """Return the column's name in a sentence, such as "the best prompt"."""
    return _COLUMNS.get(column, column)


def prompt_name(f: Figures) -> str:
    """Describe the best prompt, such as "a prompt with 4 examples"."""
    prompt = "your prompt" if f["is_baseline"] else "a prompt"
    if f["nearest_examples"]:
        return f"{prompt} with the {quantity(f['nearest_examples'], 'most similar example')}"
    return f"{prompt} with {quantity(f['examples'], 'example')}" if f["examples"] else prompt


def quantity(count: int, noun: str) -> str:
    """Return a number with its noun, such as "1 row" or "1,200 rows"."""
    plural = f"{noun.removesuffix('y')}ies" if noun.endswith("canary") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def join_names(names: Sequence[str]) -> str:
    """Join names as in a sentence: "Thai, Lao and Khmer"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def number(points: float, digits: int = 0) -> str:
    """Return points as a number, such as "31" or "-0.4"."""
    text = f"{points:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def points(score: float, digits: int = 0) -> str:
    """Return a score or difference in points, such as "31" or "-0.4"."""
    return number(score * 100, digits)


def interval(mean: float, low: float, high: float) -> tuple[str, str]:
    """Return a mean score and its interval in points, such as "31" and "[27, 35]"."""
    return points_interval(mean * 100, low * 100, high * 100)


def points_interval(mean: float, low: float, high: float) -> tuple[str, str]:
    """Return points and their interval, such as "31" and "[27, 35]".

    One decimal is shown if the interval is narrow, or if a limit would be rounded to 0.
    """
    fine = high - low < _NARROW_POINTS or any(0 < abs(x) < 0.5 for x in (low, high))
    digits = 1 if fine else 0
    return number(mean, digits), f"[{number(low, digits)}, {number(high, digits)}]"


def effect(f: Figures, *, named: bool = True) -> str:
    """Return a difference with its interval and rows, such as "31 chrF [27, 35] on 60 rows".

    Unless `named`, the unit is "points" without the name of the metric.
    """
    mean, limits = points_interval(f["points"], f["low"], f["high"])
    text = f"{mean} {unit(f['metric']) if named else 'points'} {limits}"
    text += f" on {quantity(f['rows'], 'row')}"
    if f["prompts"] < f["rows"]:
        text += f" of {quantity(f['prompts'], 'prompt')}"
    return text


def memorized_text(f: Figures) -> str:
    """Return what the model returned, such as "2 of 4 canaries and 3 of 50 training rows"."""
    parts = []
    if f["canaries_returned"]:
        parts.append(f"{f['canaries_returned']} of {quantity(f['canaries_planted'], 'canary')}")
    if f["verbatim"] or f["near"]:
        parts.append(
            f"{f['verbatim'] + f['near']} of {quantity(f['rows_probed'], 'training row')} "
            f"({f['verbatim']} verbatim, {f['near']} nearly)"
        )
    if f["rows_with_personal_data"]:
        rows = quantity(f["rows_with_personal_data"], "training row")
        parts.append(f"personal data of {rows}")
    return join_names(parts)
