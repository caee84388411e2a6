"""Records of comma, tab, semicolon or pipe separated text, with a header row."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from service.datasets.errors import refuse
from service.datasets.formats.records import Record
from service.datasets.issues import make_issue
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.lines import FileSlice, LongLine, content_start, read_batches

_DELIMITERS = ("\t", ",", ";", "|")
_SAMPLE_LINES = 50


def sniff_delimiter(head: bytes) -> str | None:
    """The delimiter of a table whose first bytes are `head`; None if it is no table.

    The one that cuts the most lines into as many fields as the header has, at least two.
    """
    text = head.decode("utf-8", "replace")
    lines = text.splitlines()
    if len(lines) > 1 and len(head) >= 4096:
        lines.pop()  # it may be cut
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
    """The rows after the header, as objects of strings; a ragged row is an issue.

    A record's line is the one that its row ends on, which differs from where it begins
    only if a field holds line breaks. Raises DatasetError for a header that does not name
    its columns, and for a quoted field that never ends.
    """
    # The limit is the process's own; that of a whole row, below, is reached first.
    csv.field_size_limit(2 * MAX_LINE_BYTES)
    source = _Lines(path)
    reader = csv.reader(source, delimiter=delimiter, strict=False)
    try:
        header = next((row for row in reader if any(row)), None)
        if header is None:
            raise refuse("empty_file")
        names = [name.strip() for name in header]
        _check_header(names)
        for row in reader:
            source.taken()
            if not any(row):
                continue
            if len(row) != len(names):
                issue = make_issue("ragged_row", source.line, found=len(row), expected=len(names))
                yield Record(source.line, None, issue)
            else:
                yield Record(source.line, dict(zip(names, row, strict=True)))
    except csv.Error as error:
        raise refuse("broken_csv", source.line) from error


def _check_header(names: list[str]) -> None:
    if not all(names):
        raise refuse("unnamed_column", 1, place=names.index("") + 1)
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise refuse("duplicate_column", 1, place=names.index(name) + 1)


class _Lines:
    """Lines of text for the csv reader; stops a row that grows over the limit."""

    def __init__(self, path: Path) -> None:
        self.line = 0
        self._since_row = 0
        self._iterator = self._read(path)

    def __iter__(self) -> Iterator[str]:
        return self._iterator

    def taken(self) -> None:
        """A row is whole: what it took no longer counts."""
        self._since_row = 0

    def _read(self, path: Path) -> Iterator[str]:
        with FileSlice(path, content_start(path)) as stream:
            for batch in read_batches(stream):
                if isinstance(batch, LongLine):
                    raise refuse("line_too_long", batch.line, limit=MAX_LINE_BYTES)
                for number, line in enumerate(batch.lines, batch.first_line):
                    self.line = number
                    self._since_row += len(line) + 1
                    if self._since_row > MAX_LINE_BYTES:
                        raise refuse("unclosed_quote", number, limit=MAX_LINE_BYTES)
                    # A bad byte must not stop the file: the row's checks see the mark.
                    yield line.decode("utf-8", "surrogateescape") + "\n"
