"""Records of text separated by commas, tabs, semicolons, or pipes, with a header row."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Generator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Self

from service.datasets.checks.issues import make_issue
from service.datasets.errors import refuse
from service.datasets.formats.records import Record
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.rows.lines import FileSlice, LongLine, content_start, read_batches

_DELIMITERS = ("\t", ",", ";", "|")
_SAMPLE_LINES = 50
_QUOTE_AFTER_SPACE = re.compile(r'[ \t]+".*"\s*\Z', re.DOTALL)


def sniff_delimiter(head: bytes) -> str | None:
    """Return the delimiter of a table that starts with `head`, or None if it is not a table.

    The delimiter is the one that splits the most lines into as many fields as the header
    has, which must be at least two.
    """
    text = head.decode("utf-8", "replace")
    lines = text.splitlines()
    if len(lines) > 1 and len(head) >= 4096:
        lines.pop()  # the last line may be incomplete
    best, best_score = None, 0.0
    for delimiter in _DELIMITERS:
        try:
            rows = [row for row in csv.reader(lines[:_SAMPLE_LINES], delimiter=delimiter) if row]
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2 or not all(name.strip() for name in rows[0]):
            continue
        same = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        if same > best_score:
            best, best_score = delimiter, same
    return best


def read_csv(path: Path, *, delimiter: str) -> Iterator[Record]:
    """Read the rows after the header as objects of strings. A ragged row is an issue.

    A record's line is the one on which its row ends, which differs from the first line only
    if a field contains line breaks. A row with unmatched quotes is an issue on the line on
    which it begins, and reading resumes at the next line. Raises DatasetError if the header
    does not name its columns.
    """
    # This limit is process-wide. The limit of a whole row, below, is reached first.
    csv.field_size_limit(2 * MAX_LINE_BYTES)
    lines = _Lines(path)
    names: list[str] | None = None
    while True:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                first, last = lines.take_row()
                if not any(row):
                    continue
                if names is None:
                    names = [name.strip() for name in row]
                    _check_header(names)
                else:
                    yield _record(row, names, delimiter, first, last)
        except csv.Error as error:
            first, last = lines.rewind()
            if names is None:
                raise refuse("broken_csv", first) from error
            yield Record(first, None, make_issue("broken_quotes", first, last=last))
        except _RowTooLongError:
            first, last = lines.rewind()
            if names is None:
                raise refuse("unclosed_quote", first, limit=MAX_LINE_BYTES) from None
            yield Record(first, None, make_issue("unclosed_quote", first, limit=MAX_LINE_BYTES))
        else:
            break
    if names is None:
        raise refuse("empty_file")


def _record(row: list[str], names: list[str], delimiter: str, first: int, last: int) -> Record:
    if len(row) != len(names):
        issue = make_issue("ragged_row", last, found=len(row), expected=len(names))
        return Record(last, None, issue)
    warnings = []
    if last > first and (rows := max(_rows_inside(f, delimiter, len(names)) for f in row)):
        warnings.append(make_issue("rows_in_field", first, last=last, count=rows))
    if any(_QUOTE_AFTER_SPACE.match(field) for field in row):
        warnings.append(make_issue("quote_after_space", last))
    return Record(last, dict(zip(names, row, strict=True)), None, tuple(warnings))


def _rows_inside(field: str, delimiter: str, width: int) -> int:
    """Count the lines of a field that look like rows, or return 0 if most do not.

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


def _check_header(names: list[str]) -> None:
    if not all(names):
        raise refuse("unnamed_column", 1, place=names.index("") + 1)
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise refuse("duplicate_column", 1, place=names.index(name) + 1)


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
        with FileSlice(self._path, start) as stream:
            for batch in read_batches(stream, first_line=first_line):
                if isinstance(batch, LongLine):
                    raise refuse("line_too_long", batch.line, limit=MAX_LINE_BYTES)
                for number, line in enumerate(batch.lines, batch.first_line):
                    start += len(line) + 1
                    yield number, line, start
