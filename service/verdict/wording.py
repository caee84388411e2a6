"""Puts numbers and names into words for verdicts and reports. A point is 1% of a score."""

from __future__ import annotations

import math
from collections.abc import Sequence

from service.verdict.comparison import BASE, PROMPT, TUNED, Column, Memorization
from service.verdict.intervals import share_limit
from service.verdict.results import Difference

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


def prompt_name(column: Column | None) -> str:
    """Describe the best prompt, such as "a prompt with 4 examples"."""
    prompt = "your prompt" if column and column.is_baseline else "a prompt"
    if column and column.nearest_examples:
        return f"{prompt} with the {quantity(column.nearest_examples, 'most similar example')}"
    examples = len(column.example_lines) if column else 0
    if examples == 0:
        return prompt
    return f"{prompt} with {quantity(examples, 'example')}"


def quantity(count: int, noun: str) -> str:
    """Return a number with its noun, such as "1 row" or "1,200 rows"."""
    plural = f"{noun.removesuffix('y')}ies" if noun.endswith("canary") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def join_names(names: Sequence[str]) -> str:
    """Join names as in a sentence: "Thai, Lao and Khmer"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def points(score: float, digits: int = 0) -> str:
    """Return a score or difference in points, such as "31" or "-0.4"."""
    text = f"{score * 100:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval(mean: float, low: float, high: float) -> tuple[str, str]:
    """Return a mean and its interval in points, such as "31" and "[27, 35]".

    One decimal is shown if the interval is narrow, or if a limit would be rounded to 0.
    """
    limits = (low * 100, high * 100)
    fine = limits[1] - limits[0] < _NARROW_POINTS or any(0 < abs(x) < 0.5 for x in limits)
    digits = 1 if fine else 0
    return points(mean, digits), f"[{points(low, digits)}, {points(high, digits)}]"


def effect(found: Difference, *, named: bool = True) -> str:
    """Return a difference with its interval and rows, such as "31 chrF [27, 35] on 60 rows".

    Unless `named`, the unit is "points" without the name of the metric.
    """
    mean, limits = interval(found.mean, found.low, found.high)
    return f"{mean} {unit(found.metric) if named else 'points'} {limits} {rows(found)}"


def rows(found: Difference) -> str:
    """Return the rows of a difference, such as "on 60 rows" or "on 60 rows of 20 prompts"."""
    text = f"on {quantity(found.n, 'row')}"
    if found.clusters < found.n:
        text += f" of {quantity(found.clusters, 'prompt')}"
    return text


def much_worse_text(found: Difference) -> str:
    """Return the tail, such as "2 of 60 answers got much worse, at most 12%".

    The limit counts answers to the same prompt as one.
    """
    count = math.ceil(found.much_worse * found.clusters / found.n)
    limit = share_limit(count, found.clusters)
    return (
        f"{found.much_worse} of {quantity(found.n, 'answer')} got much worse, at most {limit:.0%}"
    )


def memorized_text(found: Memorization) -> str:
    """Return what the model returned, such as "2 of 4 canaries and 3 of 50 training rows"."""
    parts = []
    if found.canaries_returned:
        parts.append(f"{found.canaries_returned} of {quantity(found.canaries_planted, 'canary')}")
    if found.verbatim or found.near:
        returned = found.verbatim + found.near
        parts.append(
            f"{returned} of {quantity(found.rows_probed, 'training row')} "
            f"({found.verbatim} verbatim, {found.near} nearly)"
        )
    if found.personal:
        parts.append(f"personal data of {quantity(len(found.personal), 'training row')}")
    return join_names(parts)
