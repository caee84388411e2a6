"""Renders the report of an evaluation as a self-contained HTML page and as Markdown."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from service.reports.render import read_template, render_html, render_markdown
from service.verdict.comparison import Comparison
from service.verdict.report.rows import html_rows, markdown_rows, row_filters
from service.verdict.report.sections import (
    METHOD,
    after_differences,
    before_differences,
    difference_label,
    differences_table,
    kind_label,
    outcome,
    primary_text,
    safe_line,
    safe_name,
    subject,
)
from service.verdict.results import Difference, GateResult, HumanReview, Verdict, VerdictKind
from service.verdict.wording import interval, points, quantity

_PACKAGE: Final = "service.verdict.report"
_TONES: Final = {
    VerdictKind.SERVE: "good",
    VerdictKind.WORSE: "bad",
    VerdictKind.MEMORIZED: "bad",
    VerdictKind.FORGOT: "bad",
    VerdictKind.OVERFIT: "bad",
}
_MAX_LINES = 40
_TICKS = 5
_WIDTH = 1000
_MARGIN = 20


def to_html(
    comparison: Comparison,
    verdict: Verdict,
    *,
    gate: GateResult | None = None,
    review: HumanReview | None = None,
) -> bytes:
    """Render an evaluation as an HTML page in UTF-8.

    The page loads nothing. All texts are escaped, truncated, and isolated from their surroundings
    in writing direction.
    """
    rows = html_rows(comparison)
    left_out = len(comparison.rows) - len(rows)
    total = quantity(len(comparison.rows), "row")
    return render_html(
        "evaluation.html.jinja",
        package=_PACKAGE,
        title=f"Evaluation of {safe_name(comparison.model)}",
        style=read_template("evaluation.css", _PACKAGE),
        script=read_template("evaluation.js", _PACKAGE),
        tone=_TONES.get(verdict.kind, "open"),
        kind=kind_label(verdict),
        plot=plot([d for d in verdict.differences if d.metric == comparison.primary.name]),
        filters=row_filters(comparison),
        rows=rows,
        rows_note=f"The worst {len(rows):,} of {total} are shown." if left_out else "",
        **_shared(comparison, verdict, gate, review),
    ).encode()


def to_markdown(
    comparison: Comparison,
    verdict: Verdict,
    *,
    gate: GateResult | None = None,
    review: HumanReview | None = None,
) -> bytes:
    """Render an evaluation as Markdown in UTF-8: the verdict, tables, and the five worst rows."""
    return render_markdown(
        "evaluation.md.jinja",
        package=_PACKAGE,
        rows=markdown_rows(comparison),
        **_shared(comparison, verdict, gate, review),
    ).encode()


def _shared(
    comparison: Comparison,
    verdict: Verdict,
    gate: GateResult | None,
    review: HumanReview | None,
) -> dict[str, Any]:
    """Return the values that both templates show."""
    differences = verdict.differences
    return {
        "sentence": safe_line(verdict.sentence),
        "recommendation": safe_line(verdict.recommendation),
        "reasons": list(map(safe_line, verdict.reasons)),
        "warnings": list(map(safe_line, verdict.warnings)),
        "subject": subject(comparison),
        "before": list(before_differences(comparison, gate)),
        "primary": primary_text(comparison),
        "differences": differences_table(differences) if differences else None,
        "after": list(after_differences(comparison, review)),
        "method": METHOD,
    }


class PlotLine(NamedTuple):
    """A difference in a plot, with the horizontal coordinates of its mean and interval."""

    label: str
    outcome: str
    size: str
    low: float
    mean: float
    high: float


class Plot(NamedTuple):
    """Differences with their intervals on a common axis, each drawn as one small SVG.

    `zero` is the coordinate of a difference of 0, and `ticks` are the positions and labels of the
    axis. `left_out` counts the differences that are not drawn.
    """

    lines: list[PlotLine]
    zero: float
    ticks: list[tuple[str, str]]
    left_out: int
    width: int = _WIDTH


def plot(differences: list[Difference]) -> Plot:
    """Return the plot of differences, in points."""
    drawn = differences[:_MAX_LINES]
    ticks = _ticks(
        min((0.0, *(found.low for found in drawn))), max((0.0, *(found.high for found in drawn)))
    )
    digits = 0 if (ticks[1] - ticks[0]) * 100 >= 1 else 1
    low, span = ticks[0], ticks[-1] - ticks[0]

    def scale(value: float) -> float:
        return round(_MARGIN + (value - low) / span * (_WIDTH - 2 * _MARGIN), 1)

    return Plot(
        lines=[
            PlotLine(
                label=difference_label(found),
                outcome=outcome(found),
                size=" ".join(interval(found.mean, found.low, found.high)),
                low=scale(found.low),
                mean=scale(found.mean),
                high=scale(found.high),
            )
            for found in drawn
        ],
        zero=scale(0),
        ticks=[(f"{scale(tick) / _WIDTH:.2%}", points(tick, digits)) for tick in ticks],
        left_out=len(differences) - len(drawn),
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from below `low` to above `high`."""
    span = max(high - low, 0.02)
    rough = span / _TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    last += first == last
    return [place * step for place in range(first, last + 1)]
