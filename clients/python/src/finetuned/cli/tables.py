"""Layout on a terminal: ids stay whole, and columns of tables that do not fit are left out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich.cells import cell_len, set_cell_size
from rich.text import Text

_GAP: Final = 2
_MIN_CUT_CELLS: Final = 16
_MIN_WRAPPED_CELLS: Final = 20


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Cells are printed whole, so that they can be copied, unless they may be `cut` with an ellipsis.
    Columns with a lower `rank` are left out last.
    """

    name: str
    rank: int = 0
    cut: Literal["never", "middle", "end"] = "never"


@dataclass(frozen=True)
class Layout:
    """The columns that are shown, by position, with their widths in cells."""

    widths: dict[int, int]
    hidden: list[str]


def lay_out(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], available: int | None
) -> Layout:
    """Choose the columns that fit into `available` cells. The first column is always shown.

    None means that all columns are shown, at their full widths.
    """
    full = [
        max(cell_len(column.name), *(cell_len(row[number]) for row in rows))
        for number, column in enumerate(columns)
    ]
    if available is None:
        return Layout(dict(enumerate(full)), [])
    least = [
        width if column.cut == "never" else min(width, _MIN_CUT_CELLS)
        for width, column in zip(full, columns, strict=True)
    ]
    widths, left = {0: least[0]}, available - least[0]
    for number in sorted(range(1, len(columns)), key=lambda n: columns[n].rank):
        if least[number] + _GAP <= left:
            widths[number] = least[number]
            left -= least[number] + _GAP
    for number in sorted(widths):
        more = max(0, min(full[number] - widths[number], left))
        widths[number] += more
        left -= more
    hidden = [column.name for number, column in enumerate(columns) if number not in widths]
    return Layout(dict(sorted(widths.items())), hidden)


def lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], layout: Layout
) -> Iterator[Text]:
    """Yield the header and one line per row."""
    right = {number for number in layout.widths if _is_numeric([row[number] for row in rows])}
    for style, row in [("bold", [c.name for c in columns]), *(("", row) for row in rows)]:
        cells = [
            _padded(_fitted(row[number], width, columns[number]), width, right=number in right)
            for number, width in layout.widths.items()
        ]
        yield Text((" " * _GAP).join(cells).rstrip(), style=style)


def _is_numeric(cells: Sequence[str]) -> bool:
    given = [cell.replace(",", "") for cell in cells if cell]
    return bool(given) and all(cell.isdigit() for cell in given)


def _fitted(cell: str, width: int, column: Column) -> str:
    """Return a cell on one line of at most `width` cells."""
    flat = " ".join(cell.splitlines())
    if cell_len(flat) <= width:
        return flat
    if column.cut == "end":
        return set_cell_size(flat, width - 1).rstrip() + "…"
    kept = width - 1
    tail = flat[-(kept // 2) :]
    while cell_len(tail) > kept // 2:
        tail = tail[1:]
    return set_cell_size(flat, kept - cell_len(tail)) + "…" + tail


def _padded(cell: str, width: int, *, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space


def wrapped(text: str, width: int) -> list[str]:
    """Return text in lines of at most `width` characters, broken at spaces only.

    What is longer than a line, such as the id of a model, stays whole, so that it can be copied.
    """
    if width < _MIN_WRAPPED_CELLS:
        return [text]
    found: list[str] = []
    for line in text.split("\n"):
        found += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
    return found
