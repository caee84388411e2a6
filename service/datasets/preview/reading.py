"""The steps of reading the beginning of a file, of which each may be the last."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from service.datasets.checks.issues import DatasetError, Issue, IssueLog
from service.datasets.formats.columns import (
    ColumnMeaning,
    RecordSample,
    interpret_columns,
    sample_records,
)
from service.datasets.formats.convert import (
    OpenedFile,
    SourceRow,
    Unpacked,
    checked_line,
    is_already_canonical,
    log_unused,
    open_container,
    read_records,
    to_source_row,
    unpack_source,
)
from service.datasets.formats.options import FormatOptions, row_format_of
from service.datasets.formats.records import Record
from service.datasets.formats.table_layout import TableHead
from service.datasets.preview.preview import FoundFormat, PreviewRow

MAX_NAME_CHARS = 256  # the limit of names in format options
_MAX_TEXT_CHARS = 2_000
# The limits of one record or row. A character takes up to six bytes in JSON.
_MAX_CHARS = 16_000
_MAX_ITEMS = 100
_ITEM_CHARS = 8  # what an item takes without its text, as a number or an empty list does
_MAX_INTEGER_BITS = 63
_SURROGATES = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile(r"\s+")


def cut_value(value: Any) -> Any:
    """Return a JSON value with long texts, lists and objects cut, and what is missing noted."""
    return _Cutter().cut(value)


def cut_text(text: str, limit: int = _MAX_TEXT_CHARS) -> str:
    """Return valid Unicode text, cut to `limit` characters with a note of how many are missing."""
    missing = len(text) - limit
    text = _SURROGATES.sub("\ufffd", text[:limit])
    return f"{text}… ({missing:,} more characters)" if missing > 0 else text


def cut_name(name: str) -> str:
    """Return the name of a column or sheet; a longer one could not be an option."""
    return _SURROGATES.sub("\ufffd", name[:MAX_NAME_CHARS])


def cut_cells(cells: list[str], *, count: int, chars: int) -> list[str]:
    """Return the first cells of a row, each as one short line."""
    short = [_BLANKS.sub(" ", _SURROGATES.sub("\ufffd", cell[: 4 * chars])) for cell in cells]
    return [text if len(text) <= chars else text[: chars - 1] + "…" for text in short[:count]]


def cut_issue(issue: Issue) -> Issue:
    """Return an issue without the rest of a long pointer, which contains names of columns."""
    return msgspec.structs.replace(issue, pointer=cut_name(issue.pointer))


class _Cutter:
    """Cuts one value within the limits of all its texts together."""

    def __init__(self) -> None:
        self._left = _MAX_CHARS

    def cut(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and value.bit_length() <= _MAX_INTEGER_BITS:
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, dict):
            return self._cut_object(value)
        if isinstance(value, list | tuple):
            return self._cut_list(value)
        return self._cut_text(value if isinstance(value, str) else str(value))

    def _cut_text(self, text: str) -> str:
        text = cut_text(text, max(0, min(_MAX_TEXT_CHARS, self._left)))
        self._left -= len(text)
        return text

    def _cut_object(self, value: dict[Any, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for place, (name, inner) in enumerate(value.items()):
            if place == _MAX_ITEMS or self._left <= 0:
                kept["…"] = f"({len(value) - place:,} more fields)"
                break
            name = cut_name(str(name))
            self._left -= len(name) + _ITEM_CHARS
            kept[name] = self.cut(inner)
        return kept

    def _cut_list(self, value: list[Any] | tuple[Any, ...]) -> list[Any]:
        kept: list[Any] = []
        for place, inner in enumerate(value):
            if place == _MAX_ITEMS or self._left <= 0:
                kept.append(f"… ({len(value) - place:,} more items)")
                break
            self._left -= _ITEM_CHARS
            kept.append(self.cut(inner))
        return kept


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
        self.opened: OpenedFile | None = None
        self.looked: RecordSample | None = None
        self.meaning: ColumnMeaning | None = None
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
            self.looked = sample_records(records, self.opened.container, self.options)
            self.meaning = interpret_columns(self.looked, self.options, self._log)
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

    def _show_rows(self, opened: OpenedFile, meaning: ColumnMeaning) -> None:
        as_is = is_already_canonical(opened, meaning, self.options)
        row_format = row_format_of(meaning.shape)
        for record in islice(meaning.records, self._limit):
            if as_is and isinstance(record.value, dict):
                row = SourceRow(record.line, record.value, _issues_of(record))
            else:
                row = to_source_row(record, meaning, self.options)
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
