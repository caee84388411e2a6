"""Reads tables of text separated by commas, tabs, semicolons, or pipes."""

from __future__ import annotations

import csv
import re
from collections.abc import Generator, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple, Self

from service.datasets.checks.issues import DatasetError, IssueLog, make_issue, refuse
from service.datasets.formats.options import FormatOptions, Record
from service.datasets.formats.table_layout import (
    SAMPLE_CHARS,
    NumberedRow,
    TableHead,
    is_total,
    log_titles,
    sample_rows_limit,
    trim_cells,
)
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.rows.lines import content_start, read_lines

_DELIMITERS = ("\t", ",", ";", "|")
_SAMPLE_LINES = 50
_HEAD_BYTES = 64 * 1024
_LEAST_REGULAR = 0.5
_CLEARLY_REGULAR = 0.9
_LEAST_ROWS = 3
_SEP_LINE = re.compile(r'"?sep=([,;|\t])"?\s*\Z', re.IGNORECASE)
_RULE = re.compile(r":?-{3,}:?|")
_QUOTE_AFTER_SPACE = re.compile(r'[ \t]+".*"\s*\Z', re.DOTALL)


def sniff_delimiter(head: bytes) -> str | None:
    """Return the delimiter of a table that starts with `head`, or None if it is not a table.

    A line such as `sep=;` names it. Otherwise it is the one that splits the most lines into as
    many fields as the header has, which must be at least two, or into as many as most lines have
    if titles precede the header.
    """
    if named := _named_delimiter(_text(head).partition("\n")[0]):
        return named
    return next(iter(regular_delimiters(head)), None)


def is_clearly_table(head: bytes) -> bool:
    """Return whether text is a table rather than prose: nearly all rows have equally many fields.

    In prose, a space follows a comma.
    """
    if _named_delimiter(_text(head).partition("\n")[0]):
        return True
    share, delimiter, _ = next(iter(_regular(head)), (0.0, "", 0))
    is_prose = delimiter == "," and head.count(b", ") * 2 > head.count(b",")
    return share >= _CLEARLY_REGULAR and head.count(b"\n") >= _LEAST_ROWS and not is_prose


def regular_delimiters(head: bytes) -> dict[str, int]:
    """Return the delimiters that split most lines of `head` into equally many fields.

    The values are the numbers of fields. The most regular delimiter is first.
    """
    return {delimiter: width for _, delimiter, width in _regular(head)}


def _regular(head: bytes) -> list[tuple[float, str, int]]:
    """Return each delimiter with its share of regular rows and their width, best first."""
    lines = _text(head).splitlines()
    if len(lines) > 1 and len(head) >= 4096:
        lines.pop()  # the last line may be incomplete
    found: list[tuple[float, str, int]] = []
    for delimiter in _DELIMITERS:
        try:
            rows = [row for row in csv.reader(lines[:_SAMPLE_LINES], delimiter=delimiter) if row]
        except csv.Error:
            continue
        share, width = _regularity(rows)
        if share > 0:
            found.append((share, delimiter, width))
    found.sort(key=lambda candidate: -candidate[0])
    return found


def _text(head: bytes) -> str:
    return head.decode("utf-8", "replace")


def _regularity(rows: list[list[str]]) -> tuple[float, int]:
    """Return the most common width, or that of a proper header, and its share of the rows.

    The share is 0 if the rows are not a table.
    """
    if not rows:
        return 0.0, 0
    widths = [len(row) for row in rows]
    if widths[0] >= 2 and all(name.strip() for name in rows[0]):
        return widths.count(widths[0]) / len(rows), widths[0]
    width = max(set(widths), key=widths.count)
    share = widths.count(width) / len(rows)
    usual = width >= 2 and widths.count(width) >= 2 and share >= _LEAST_REGULAR
    return (share if usual else 0.0), width


def _named_delimiter(line: str) -> str | None:
    """Return the delimiter of a line such as `sep=;`, which Excel writes."""
    named = _SEP_LINE.match(line)
    return named.group(1) if named else None


class _Row(NamedTuple):
    """A row with its first and last line, or the code of the issue that made it unreadable."""

    cells: list[str]
    first: int
    last: int
    issue: str | None = None


def read_csv(
    path: Path,
    options: FormatOptions,
    log: IssueLog,
    *,
    delimiter: str,
    head: TableHead | None = None,
) -> Iterator[Record]:
    """Read the rows below the names of the columns as objects of strings.

    A record's line is the one on which its row ends, which differs from the first line only
    if a field contains line breaks. A row with unmatched quotes is an issue on the line on
    which it begins, and reading resumes at the next line. A ragged row is an issue unless all
    surplus fields are blank. The first rows are stored in `head`. Raises DatasetError if no row
    names the columns.
    """
    head = head or TableHead()
    rows = _read_rows(path, delimiter)
    first = _first_rows(rows, sample_rows_limit(options))
    if not first:
        raise refuse("empty_file")
    readable = [row for row in first if row.issue is None]
    if first[0].issue is not None:
        raise _unreadable(first[0])
    layout = head.find_layout([NumberedRow(row.first, row.cells) for row in readable], options)
    log_titles(log, [row.first for row in readable], layout)
    for row in chain(first, rows):
        # In files that were joined, the names are repeated.
        is_again = row.cells[:1] == layout.names[:1] and trim_cells(row.cells) == layout.names
        if row.first > layout.header_row and not is_again and not is_total(row.cells):
            yield _record(row, layout.names, delimiter)


def _first_rows(rows: Iterator[_Row], limit: int) -> list[_Row]:
    first: list[_Row] = []
    chars = 0
    for row in rows:
        first.append(row)
        chars += sum(map(len, row.cells))
        if len(first) == limit or chars > SAMPLE_CHARS:
            break
    return first


def _unreadable(row: _Row) -> DatasetError:
    """Return the error for a table whose first row cannot be read."""
    if row.issue == "unclosed_quote":
        return refuse("unclosed_quote", row.first, limit=MAX_LINE_BYTES)
    return refuse("broken_csv", row.first)


def _read_rows(path: Path, delimiter: str) -> Iterator[_Row]:
    """Yield each row that is not blank."""
    # This limit is process-wide. The limit of a whole row, below, is reached first.
    csv.field_size_limit(2 * MAX_LINE_BYTES)
    lines = _Lines(path)
    escape = "\\" if _escapes_quotes(path, delimiter) else None
    while True:
        reader = csv.reader(
            lines, delimiter=delimiter, strict=True, escapechar=escape, doublequote=escape is None
        )
        try:
            for cells in reader:
                first, last = lines.take_row()
                if delimiter == "|":  # also a table of Markdown
                    cells = [cell.strip() for cell in cells]
                    if all(_RULE.fullmatch(cell) for cell in cells):
                        continue
                if any(cells) and not (first == 1 and _is_sep_line(cells, delimiter)):
                    yield _Row(cells, first, last)
        except csv.Error:
            yield _Row([], *lines.rewind(), issue="broken_quotes")
        except _RowTooLongError:
            yield _Row([], *lines.rewind(), issue="unclosed_quote")
        else:
            break


def _escapes_quotes(path: Path, delimiter: str) -> bool:
    """Return whether quotes in fields have a backslash before them, as MySQL and Spark write."""
    with path.open("rb") as file:
        head = _text(file.read(_HEAD_BYTES))
    if '\\"' not in head:
        return False
    lines = head.splitlines(keepends=True)[:_SAMPLE_LINES]
    return not _is_regular(lines, delimiter, None) and _is_regular(lines, delimiter, "\\")


def _is_regular(lines: list[str], delimiter: str, escape: str | None) -> bool:
    """Return whether all rows have equally many fields."""
    reader = csv.reader(
        lines, delimiter=delimiter, strict=True, escapechar=escape, doublequote=escape is None
    )
    try:
        return len({len(row) for row in reader if row}) == 1
    except csv.Error:
        return False


def _is_sep_line(cells: list[str], delimiter: str) -> bool:
    return _named_delimiter(delimiter.join(cells)) == delimiter


def _record(row: _Row, names: list[str], delimiter: str) -> Record:
    cells, first, last, issue = row
    if issue == "broken_quotes":
        return Record(first, None, make_issue("broken_quotes", first, last=last))
    if issue is not None:
        return Record(first, None, make_issue(issue, first, limit=MAX_LINE_BYTES))
    if len(cells) > len(names) and not any(cell.strip() for cell in cells[len(names) :]):
        cells = cells[: len(names)]
    if len(cells) != len(names):
        ragged = make_issue("ragged_row", last, found=len(cells), expected=len(names))
        return Record(last, None, ragged)
    warnings = []
    if last > first and (rows := max(_rows_inside(f, delimiter, len(names)) for f in cells)):
        warnings.append(make_issue("rows_in_field", first, last=last, count=rows))
    if any(_QUOTE_AFTER_SPACE.match(field) for field in cells):
        warnings.append(make_issue("quote_after_space", last))
    return Record(last, dict(zip(names, cells, strict=True)), None, tuple(warnings))


def _rows_inside(field: str, delimiter: str, width: int) -> int:
    """Count the lines of a field that look like rows of the table. Returns 0 if most do not.

    In prose, a space follows a comma. A comma between digits separates thousands.
    """
    inner = [line for line in field.splitlines()[1:] if line.strip()]
    rows = 0
    for line in inner:
        parts = line.split(delimiter)
        edges = [before[-1:] + after[:1] for before, after in pairwise(parts)]
        rows += (
            len(parts) == width
            and all(part.strip() for part in parts[:-1])
            and not any(
                edge[-1:].isspace() or (len(edge) == 2 and edge.isdigit()) for edge in edges
            )
        )
    return rows if rows * 2 > len(inner) else 0


class _RowTooLongError(Exception):
    """A row exceeds the size limit."""


class _Lines:
    """Lines of text for the csv reader. Raises _RowTooLongError if a row exceeds the limit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._iterator = self._read(content_start(path), 1)
        self._row: list[int] = []  # numbers of the first and last line of the current row
        self._row_bytes = 0
        self._second = 0  # byte offset of the second line of the row

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        number, line, end = next(self._iterator)
        if not self._row:
            self._row, self._row_bytes, self._second = [number], 0, end
        self._row[1:] = [number]
        self._row_bytes += len(line) + 1
        if self._row_bytes > MAX_LINE_BYTES:
            raise _RowTooLongError
        # An invalid byte must not stop the file: the row's checks report the surrogate.
        return line.decode("utf-8", "surrogateescape") + "\n"

    def take_row(self) -> tuple[int, int]:
        """End the current row, and return its first and last line."""
        row, self._row = self._row, []
        return row[0], row[-1]

    def rewind(self) -> tuple[int, int]:
        """Resume at the second line of a broken row, and return its first and last line."""
        first, last = self.take_row()
        self._iterator.close()
        self._iterator = self._read(self._second, first + 1)
        return first, last

    def _read(self, start: int, first_line: int) -> Generator[tuple[int, bytes, int]]:
        for number, line in read_lines(self._path, start=start, first_line=first_line):
            if line is None:
                raise refuse("line_too_long", number, limit=MAX_LINE_BYTES)
            start += len(line) + 1
            yield number, line, start
