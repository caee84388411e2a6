"""The steps of reading the beginning of a file, of which each may be the last."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from service.datasets.checks.issues import Issue, IssueLog
from service.datasets.errors import DatasetError
from service.datasets.facts import row_format_of
from service.datasets.formats.convert import checked_line
from service.datasets.formats.meaning import Looked, Meaning, find_meaning, look_at
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.records import Record
from service.datasets.formats.source import (
    Opened,
    SourceRow,
    Unpacked,
    as_row,
    is_as_it_was,
    log_unused,
    open_container,
    read_records,
    unpack_source,
)
from service.datasets.formats.table_layout import TableHead
from service.datasets.preview.cut import cut_issue, cut_name, cut_value
from service.datasets.preview.preview import FoundFormat, PreviewRow

# With one more row, the findings and the alternatives, a preview stays below 1 MiB.
_MAX_ROWS_BYTES = 512 * 1024
_MAX_ROW_FINDINGS = 20
_MAX_COLUMNS = 100


class Reading:
    """A file that is read until `limit` rows are known, or until it cannot be read any further.

    What a step found is kept if a later one fails.
    """

    def __init__(self, options: FormatOptions, limit: int, log: IssueLog) -> None:
        self.options = options
        self.head = TableHead()
        self.unpacked: Unpacked | None = None
        self.opened: Opened | None = None
        self.looked: Looked | None = None
        self.meaning: Meaning | None = None
        self.rows: list[PreviewRow] = []
        self._limit = limit
        self._log = log
        self._room = _MAX_ROWS_BYTES
        self._records: list[Record] = []  # the first ones, as long as `looked` is unknown

    def read(self, path: Path, work: Path) -> None:
        """Read the file. Raises DatasetError if it cannot be read as a whole."""
        self.unpacked = unpack_source(path, work, self.options, self._log)
        self.opened = open_container(self.unpacked.path, work, self.options, self._log)
        records = self._noted(read_records(self.opened, self.options, self._log, head=self.head))
        try:
            self.looked = look_at(records, self.opened.container, self.options)
            self.meaning = find_meaning(self.looked, self.options, self._log)
        except DatasetError:
            self._show_records()
            raise
        log_unused(self.meaning, self._log)
        self._show_rows(self.opened, self.meaning)

    def found(self) -> FoundFormat | None:
        """Return the format of the file as far as it is known."""
        if self.unpacked is None or self.opened is None:
            return None
        columns = self.meaning.named if self.meaning is not None else {}
        unused = self.meaning.unused if self.meaning is not None else []
        return FoundFormat(
            container=self.opened.container,
            compression=self.unpacked.compression,
            encoding=self.opened.encoding,
            delimiter=self.opened.delimiter,
            sheet=self.head.sheet,
            header_row=self.head.header_row,
            shape=self.meaning.shape if self.meaning is not None else None,
            columns={field: cut_name(column) for field, column in columns.items()},
            unused_columns=unused[:_MAX_COLUMNS],
        )

    def _noted(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            if len(self._records) < self._limit:
                self._records.append(record)
            yield record

    def _show_records(self) -> None:
        """Show the records whose meaning is not known."""
        records = self._records if self.looked is None else self.looked.first[: self._limit]
        for record in records:
            if not self._show(record, None, _issues_of(record)):
                break

    def _show_rows(self, opened: Opened, meaning: Meaning) -> None:
        as_is = is_as_it_was(opened, meaning, self.options)
        row_format = row_format_of(meaning.shape)
        for record in islice(meaning.records, self._limit):
            if as_is and isinstance(record.value, dict):
                row = SourceRow(record.line, record.value, _issues_of(record))
            else:
                row = as_row(record, meaning, self.options)
            if not self._show(record, *checked_line(row, row_format)):
                break

    def _show(self, record: Record, line: bytes | None, issues: list[Issue]) -> bool:
        """Add a row, and return whether there is room for another one."""
        row = PreviewRow(
            line=record.line,
            record=cut_value(record.value) if isinstance(record.value, dict) else None,
            row=None if line is None else cut_value(msgspec.json.decode(line)),
            findings=[cut_issue(issue) for issue in issues[:_MAX_ROW_FINDINGS]],
        )
        self.rows.append(row)
        self._room -= len(msgspec.json.encode(row))
        return self._room > 0


def _issues_of(record: Record) -> list[Issue]:
    return [record.issue] if record.issue is not None else list(record.warnings)
