"""Where the names of a table's columns are, in tables as people make them.

Above the names there may be titles, dates, and a row that groups columns. The names themselves may
be incomplete: pandas leaves its index column unnamed, and some programs end each row with a comma.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.errors import refuse
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.shapes import find_shape, is_known
from service.datasets.formats.spread import find_spread

_LOOKED_AT_ROWS = 25
LOOKED_AT_CHARS = 1024**2

Cells = Sequence[str]


class Numbered(NamedTuple):
    """A row that is not blank, and the number of its line or row, from 1."""

    number: int
    cells: Cells


class Layout(NamedTuple):
    """The column names, and the number of their row: 0 if no row holds them."""

    names: list[str]
    header_row: int


class TableHead:
    """What a reader has found at the head of a table, which it fills in before the first record.

    `rows` are the rows among which the names were looked for, also if none can hold them.
    """

    def __init__(self) -> None:
        self.sheet: str | None = None
        self.rows: Sequence[Numbered] = ()
        self.header_row: int | None = None

    def find_layout(self, rows: Sequence[Numbered], options: FormatOptions) -> Layout:
        """Find the names as the function `find_layout` does, and note where they are."""
        self.rows = rows
        layout = find_layout(rows, options)
        self.header_row = layout.header_row
        return layout


def find_layout(rows: Sequence[Numbered], options: FormatOptions) -> Layout:
    """Find the names among the first rows of a table, of which there must be one.

    The names are in the row `header_row`, or in the first row that forms a shape, or in the first
    row as wide as most. Raises DatasetError if `header_row` is not among the rows, or if two
    columns that matter have the same name.
    """
    if options.header_row == 0:
        width = max(len(trimmed(row.cells)) for row in rows)
        return Layout([_numbered(place) for place in range(1, width + 1)], 0)
    header = _header(rows, options)
    return Layout(_unique(trimmed(header.cells), header.number, options), header.number)


def rows_to_look_at(options: FormatOptions) -> int:
    """The number of rows among which the names are looked for."""
    return max(_LOOKED_AT_ROWS, options.header_row or 0)


def forms_shape(cells: Cells, options: FormatOptions) -> bool:
    """Whether cells are the names of columns that can be read."""
    names = [cell for cell in trimmed(cells) if cell]
    if find_shape(names, options, lambda _: True) is not None:
        return True
    return find_spread(names, options) is not None


def trimmed(cells: Cells) -> list[str]:
    """Return the cells without the blank ones at the end, and without spaces around them."""
    kept = [cell.strip() for cell in cells]
    while kept and not kept[-1]:
        kept.pop()
    return kept


def log_titles(log: IssueLog, numbers: Sequence[int], layout: Layout) -> None:
    """Report how many of the rows with these numbers are above the names, and are not read."""
    above = sum(number < layout.header_row for number in numbers)
    if above:
        log.add(make_issue("rows_above_header", layout.header_row, count=above))


def _header(rows: Sequence[Numbered], options: FormatOptions) -> Numbered:
    if options.header_row is not None:
        for row in rows:
            if row.number == options.header_row:
                return row
        raise refuse("no_header_row", number=options.header_row)
    for place, row in enumerate(rows):
        if forms_shape(row.cells, options):
            return _below_groups(rows, place, options)
    widths = [_filled(row.cells) for row in rows]
    usual = max(set(widths), key=lambda width: (widths.count(width), width))
    return next(row for row, width in zip(rows, widths, strict=True) if width >= min(usual, 2))


def _below_groups(rows: Sequence[Numbered], place: int, options: FormatOptions) -> Numbered:
    """Return the row, or the next one if it names more columns: names below those of groups."""
    row, following = rows[place], rows[place + 1 : place + 2]
    for other in following:
        if _filled(other.cells) > _filled(row.cells) and forms_shape(other.cells, options):
            return other
    return row


def _filled(cells: Cells) -> int:
    return sum(map(bool, trimmed(cells)))


def _unique(names: list[str], number: int, options: FormatOptions) -> list[str]:
    """Name the unnamed columns, and number the ones whose names were taken before."""
    made: list[str] = []
    for place, name in enumerate(names, 1):
        if name in made:
            if is_known(name) or name in options.columns.values():
                raise refuse("duplicate_column", number, place=place)
            name = f"{name} ({place})"
        made.append(name or _numbered(place))
    return made


def _numbered(place: int) -> str:
    return f"column {place}"
