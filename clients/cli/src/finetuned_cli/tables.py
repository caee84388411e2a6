"""Layout on a terminal: ids stay whole, and columns of tables that do not fit are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich.cells import cell_len, set_cell_size
from rich.text import Text

_GAP: Final = 2
_INDENT: Final = 4
_MIN_CUT_CELLS: Final = 16
_MIN_WRAPPED_CELLS: Final = 20
_QUANTITY: Final = re.compile(r"[\d,]+|[\d.]+ (B|KiB|MiB|GiB)")
_WORDS: Final = re.compile(r"( *)(finetuned [a-z].*|(?:`[^`]*`|\S)+)")


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
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    layout: Layout,
    available: int | None = None,
) -> Iterator[Text]:
    """Yield the header and one line per row.

    Columns that do not fit into `available` cells are on more lines, which are indented.
    """
    right = {number for number in layout.widths if _is_quantity([row[number] for row in rows])}
    parts = _parts(layout.widths, available)
    for style, row in [("bold", [c.name for c in columns]), *(("", row) for row in rows)]:
        for number, part in enumerate(parts):
            cells = [
                _padded(_fitted(row[n], layout.widths[n], columns[n]), layout.widths[n], n in right)
                for n in part
            ]
            line = (" " * _GAP).join(cells).rstrip()
            if line or number == 0:
                yield Text(" " * _INDENT * (number > 0) + line, style=style)


def _parts(widths: dict[int, int], available: int | None) -> list[list[int]]:
    """Divide columns among lines of `available` cells."""
    parts: list[list[int]] = [[]]
    used = 0
    for number, width in widths.items():
        if parts[-1] and available is not None and used + _GAP + width > available:
            parts.append([])
            used = _INDENT - _GAP
        used += width + _GAP * bool(parts[-1] or len(parts) > 1)
        parts[-1].append(number)
    return parts


def _is_quantity(cells: Sequence[str]) -> bool:
    """Return whether all cells are numbers, which may have a unit of bytes."""
    given = [cell for cell in cells if cell]
    return bool(given) and all(_QUANTITY.fullmatch(cell) for cell in given)


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


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space


def wrapped(text: str, width: int, hanging: int = 0) -> list[str]:
    """Return text in lines of at most `width` cells, broken at spaces only.

    What can be copied stays whole: a word that is longer than a line, such as the id of a model,
    what is between backticks, and a command at the end. The lines after a break have the
    indentation of the first, and `hanging` cells more.
    """
    if width < _MIN_WRAPPED_CELLS:
        return [text]
    return [part for line in text.split("\n") for part in _broken(line, width, hanging)]


def _broken(line: str, width: int, hanging: int) -> Iterator[str]:
    indent = len(line) - len(line.lstrip(" "))
    current, used = " " * indent, 0
    for space, word in _WORDS.findall(line[indent:]):
        if used and cell_len(current) + len(space) + cell_len(word) > width:
            yield current
            fits = indent + hanging + cell_len(word) <= width
            current, space = " " * (indent + hanging) if fits else "", ""
        current += f"{space}{word}"
        used += 1
    yield current if used else ""
