"""Opening of a file in any supported format, and reading its rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from service.datasets.checks.findings import Findings
from service.datasets.checks.issues import Issue, IssueLog, make_issue, shown
from service.datasets.checks.labels import are_labels
from service.datasets.checks.marks import check_marks, unused_code
from service.datasets.errors import DatasetError, refuse
from service.datasets.facts import SourceFacts, row_format_of
from service.datasets.formats.csv_records import read_csv
from service.datasets.formats.detect import binary_container, text_container
from service.datasets.formats.json_records import read_json, read_jsonl
from service.datasets.formats.options import Container, FormatOptions
from service.datasets.formats.parquet_records import read_parquet
from service.datasets.formats.records import Record
from service.datasets.formats.shapes import find_shape, make_row
from service.datasets.formats.transcode import to_utf8
from service.datasets.formats.unpack import compression_of, unpack
from service.datasets.formats.xlsx_records import read_xlsx

# Columns are collected from this many records, because the first ones may lack a field.
_LOOKED_AT = 200
_LOOKED_AT_CHARS = 16 * 1024**2  # the records are held in memory together
_SHOWN_COLUMNS = 20


class SourceRow(NamedTuple):
    """An unchecked row in one of the row formats, or the issues that prevent one."""

    line: int
    value: Any
    issues: list[Issue]


class Source(NamedTuple):
    """An opened file. `text` is set if the file is JSON Lines already in the row format."""

    facts: SourceFacts
    rows: Iterator[SourceRow]
    text: Path | None


def open_source(path: Path, work: Path, options: FormatOptions, log: IssueLog) -> Source:
    """Detect the format of `path` and open it.

    Unpacked and transcoded copies go to the folder `work`, which must exist while rows are
    read. Raises DatasetError if the file as a whole cannot be read.
    """
    size = path.stat().st_size
    if size == 0:
        raise refuse("empty_file")
    with path.open("rb") as file:
        compression = compression_of(file.read(4))
    if compression is not None:
        unpacked = work / "unpacked"
        unpack(path, unpacked, compression, options)
        path = unpacked
    encoding = delimiter = None
    container = binary_container(path)
    if container is None:
        path, encoding = to_utf8(path, work / "text", options, log)
        container, delimiter = _text_container(path, options)
    records = _records(path, container, delimiter, options, log)
    first = _first(records)
    columns = _columns(first)
    _check_mapping(columns, options)
    as_text = container in ("csv", "xlsx")
    shape_found = find_shape(
        columns, options, lambda column: are_labels(_values(first, column), as_text=as_text)
    )
    if shape_found is None:
        raise _no_shape(first, columns)
    shape, fields = shape_found
    used = set(fields.values())
    facts = SourceFacts(
        bytes=size,
        container=container,
        compression=compression,
        encoding=encoding,
        delimiter=delimiter,
        shape=shape,
        row_format=row_format_of(shape),
        columns=fields,
        unused_columns=[shown(column) for column in columns if column not in used],
    )
    for column in facts.unused_columns:
        log.add(make_issue(unused_code(column, facts.row_format), column=column))
    rows = _rows(chain(first, records), facts, options)
    as_is = container == "jsonl" and not options.system and not options.roles
    as_is = as_is and row_format_of(shape) == shape and not fields.keys() & {"chosen", "completion"}
    as_is = as_is and all(field == column for field, column in fields.items())
    return Source(facts, rows, path if as_is else None)


def _text_container(path: Path, options: FormatOptions) -> tuple[Container, str | None]:
    """Return the container and delimiter given by the user, or the detected ones."""
    container, delimiter = options.container, options.delimiter
    if container is None or (container == "csv" and delimiter is None):
        found, delimiter = text_container(path)
        container = container or found
    if container == "csv":
        return container, options.delimiter or delimiter or ","
    return container, None


def _records(
    path: Path, container: str, delimiter: str | None, options: FormatOptions, log: IssueLog
) -> Iterator[Record]:
    if container == "parquet":
        return read_parquet(path, options)
    if container == "xlsx":
        return read_xlsx(path, options, log)
    if container == "csv":
        return read_csv(path, delimiter=delimiter or ",")
    return read_json(path) if container == "json" else read_jsonl(path)


def _first(records: Iterator[Record]) -> list[Record]:
    """Return the first records for inspection: many small ones or a few large ones."""
    first: list[Record] = []
    chars = 0
    for record in records:
        first.append(record)
        chars += _chars(record.value)
        if len(first) == _LOOKED_AT or chars > _LOOKED_AT_CHARS:
            break
    return first


def _chars(value: Any) -> int:
    """Return the approximate number of characters of text in a value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sum(map(_chars, value))
    return len(value) if isinstance(value, str | bytes) else 0


def _columns(records: list[Record]) -> list[str]:
    found: dict[str, None] = {}
    for record in records:
        if isinstance(record.value, dict):
            found.update(dict.fromkeys(record.value))
    return list(found)


def _values(records: list[Record], column: str) -> list[Any]:
    """What the records that are objects hold in a column, None where they lack it."""
    return [record.value.get(column) for record in records if isinstance(record.value, dict)]


def _check_mapping(columns: list[str], options: FormatOptions) -> None:
    for field, column in options.columns.items():
        if columns and column not in columns:
            raise refuse("missing_column", field=shown(field))


def _no_shape(records: list[Record], columns: list[str]) -> Exception:
    if columns:
        names = ", ".join(shown(column) for column in columns[:_SHOWN_COLUMNS])
        return refuse("unknown_columns", columns=names)
    for record in records:
        if record.issue is not None:
            return DatasetError(record.issue)
    for record in records:
        if not isinstance(record.value, dict):
            return refuse("not_an_object", record.line, found="bare value")
    return refuse("unknown_columns", columns="none") if records else refuse("empty_file")


def _rows(
    records: Iterator[Record], facts: SourceFacts, options: FormatOptions
) -> Iterator[SourceRow]:
    used = set(facts.columns.values())
    for line, value, issue, warnings in records:
        if issue is not None:
            yield SourceRow(line, None, [issue])
            continue
        found = Findings(line)
        found.issues.extend(warnings)
        if isinstance(value, dict):
            check_marks(found, value, "", used)
            row = make_row(found, facts.shape, facts.columns, value, options)  # type: ignore[arg-type]
        else:
            row = None
            found.add("not_an_object", "", found="bare value")
        yield SourceRow(line, row, found.issues)
