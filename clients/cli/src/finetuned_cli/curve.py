"""Loss curve drawn with braille dots: each cell is two points wide and four high."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from rich.text import Text

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BLANK = 0x2800
Points = Sequence[tuple[int, float]]
_STYLES = ("cyan", "magenta")


def curve(train: Points, valid: Points, *, total: int, width: int, height: int = 8) -> Text:
    """Draw losses over steps 1 to `total`, as `height` lines of text and a line of labels."""
    values = [loss for _, loss in (*train, *valid)]
    low, high = min(values), max(values)
    high = high if high > low else low + 1.0
    label = max(len(f"{high:.2f}"), len(f"{low:.2f}"))
    across = max(8, width - label - 2)
    cells = _cells((train, valid), total, low, high, across, height)
    text = Text()
    for row in range(height):
        head = {0: f"{high:.2f}", height - 1: f"{low:.2f}"}.get(row, "")
        text.append(f"{head:>{label}} ", style="dim").append("│", style="dim")
        for column in range(across):
            dots, style = cells.get((column, row), (0, ""))
            text.append(chr(_BLANK + dots) if dots else " ", style=style)
        text.append("\n")
    steps = f"step {total}"
    text.append(f"{'':>{label}} └1{'─' * (across - len(steps) - 2)} {steps}", style="dim")
    if valid:
        text.append("\n").append(" " * (label + 2))
        text.append("training loss", style=_STYLES[0]).append("  ")
        text.append("validation loss", style=_STYLES[1])
    return text


def _cells(
    series: tuple[Points, Points], total: int, low: float, high: float, across: int, height: int
) -> dict[tuple[int, int], tuple[int, str]]:
    cells: dict[tuple[int, int], tuple[int, str]] = {}
    for points, style in zip(series, _STYLES, strict=True):
        placed = [
            (
                round((step - 1) / max(1, total - 1) * (across * 2 - 1)),
                round((high - loss) / (high - low) * (height * 4 - 1)),
            )
            for step, loss in points
        ]
        for x, y in _joined(placed):
            place = (x // 2, y // 4)
            dots, _ = cells.get(place, (0, ""))
            cells[place] = (dots | _DOTS[x % 2][y % 4], style)
    return cells


def _joined(placed: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield all dots on the line segments between consecutive points."""
    yield from placed[:1]
    for (x0, y0), (x1, y1) in pairwise(placed):
        count = max(abs(x1 - x0), abs(y1 - y0), 1)
        for n in range(1, count + 1):
            yield round(x0 + (x1 - x0) * n / count), round(y0 + (y1 - y0) * n / count)
