"""Plot of differences with their intervals, as one small SVG per line, on a common axis."""

from __future__ import annotations

import math
from html import escape

from service.verdict.report.tables import difference_label, outcome
from service.verdict.results import Difference
from service.verdict.wording import interval, points

_MAX_LINES = 40
_TICKS = 5
_WIDTH = 1000
_MARGIN = 20


def plot(differences: list[Difference]) -> str:
    """Return the plot as HTML. Differences of scores are in points; 0 is a vertical line."""
    drawn = differences[:_MAX_LINES]
    if not drawn:
        return ""
    ticks = _ticks(min(0.0, *(d.low for d in drawn)), max(0.0, *(d.high for d in drawn)))
    scale = _Scale(ticks[0], ticks[-1])
    lines = "".join(_line(found, scale) for found in drawn)
    left_out = len(differences) - len(drawn)
    note = f"<p>{left_out:,} more are in the table below.</p>" if left_out else ""
    return (
        '<figure class="plot"><figcaption>Differences in points with 95% intervals. Right of 0, '
        "the first column is better.</figcaption>"
        f'<div role="list">{lines}</div>{_axis(ticks, scale)}{note}</figure>'
    )


class _Scale:
    """Linear map from differences to the horizontal coordinates of the plot."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._span = low, high - low

    def __call__(self, value: float) -> float:
        share = (value - self._low) / self._span
        return round(_MARGIN + share * (_WIDTH - 2 * _MARGIN), 1)


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from below `low` to above `high`."""
    span = max(high - low, 0.02)
    rough = span / _TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    last += first == last
    return [place * step for place in range(first, last + 1)]


def _line(found: Difference, scale: _Scale) -> str:
    mean, limits = interval(found.mean, found.low, found.high)
    result = outcome(found)
    middle, zero = scale(found.mean), scale(0)
    return (
        f'<div role="listitem" class="{result}"><span class="what">'
        f"{escape(difference_label(found))}</span>"
        f'<svg viewBox="0 0 {_WIDTH} 24" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="zero" d="M{zero} 0V24"/>'
        f'<path class="range" d="M{scale(found.low)} 12H{scale(found.high)}"/>'
        f'<path class="mean" d="M{middle} 12h0"/></svg>'
        f'<span class="size">{mean} {limits} <em>{result}</em></span></div>'
    )


def _axis(ticks: list[float], scale: _Scale) -> str:
    digits = _digits(ticks)
    marks = "".join(
        f'<text x="{scale(tick) / _WIDTH:.2%}" y="14" text-anchor="middle">'
        f"{points(tick, digits)}</text>"
        for tick in ticks
    )
    return f'<div class="axis"><svg class="ticks" aria-hidden="true">{marks}</svg></div>'


def _digits(ticks: list[float]) -> int:
    return 0 if (ticks[1] - ticks[0]) * 100 >= 1 else 1
