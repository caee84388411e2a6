"""Opening of a file in any supported format, and reading its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from service.datasets.checks.findings import Findings
from service.datasets.checks.issues import Issue, IssueLog, make_issue
from service.datasets.checks.marks import check_marks, unused_code
from service.datasets.errors import refuse
from service.datasets.facts import SourceFacts, row_format_of
from service.datasets.formats.archives import archive_of, extract
from service.datasets.formats.csv_records import read_csv
from service.datasets.formats.detect import binary_container, text_container
from service.datasets.formats.json_records import read_json, read_jsonl
from service.datasets.formats.meaning import Meaning, find_meaning
from service.datasets.formats.options import Container, FormatOptions
from service.datasets.formats.records import Record
from service.datasets.formats.shapes import make_row
from service.datasets.formats.transcode import to_utf8, with_newlines
from service.datasets.formats.unpack import compression_of, unpack

_MAX_LAYERS = 3  # such as a gzip file in a TAR archive that is compressed with gzip


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
    path, compression = _unpacked(path, work, options, log)
    encoding = delimiter = None
    container = binary_container(path)
    if container is None:
        path, encoding = to_utf8(path, work / "text", options, log)
        path = with_newlines(path, work / "lines")
        container, delimiter = _text_container(path, options)
    records = _records(path, container, delimiter, options, log)
    meaning = find_meaning(records, container, options, log)
    facts = SourceFacts(
        bytes=size,
        container=container,
        compression=compression,
        encoding=encoding,
        delimiter=delimiter,
        shape=meaning.shape,
        row_format=row_format_of(meaning.shape),
        columns=meaning.named,
        unused_columns=meaning.unused,
    )
    for column in facts.unused_columns:
        log.add(make_issue(unused_code(column, facts.row_format), column=column))
    rows = _rows(meaning, options)
    as_is = container == "jsonl" and meaning.is_canonical and not options.system
    return Source(facts, rows, path if as_is and not options.roles else None)


def _unpacked(
    path: Path, work: Path, options: FormatOptions, log: IssueLog
) -> tuple[Path, str | None]:
    """Unpack a file, and an archive in it, and return what it holds and how it was packed."""
    packed = []
    for layer in range(_MAX_LAYERS):
        with path.open("rb") as file:
            compression = compression_of(file.read(4))
        kind = compression or archive_of(path)
        if kind is None:
            break
        unpacked = work / f"unpacked-{layer}"
        if compression is not None:
            unpack(path, unpacked, compression, options)
        else:
            extract(path, unpacked, kind, options, log)
        packed.append(kind)
        path = unpacked
    return path, "+".join(packed) or None


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
    # The libraries for Parquet and XLSX take longer to import than most files take to read.
    if container == "parquet":
        from service.datasets.formats.parquet_records import read_parquet

        return read_parquet(path, options)
    if container == "xlsx":
        from service.datasets.formats.xlsx_records import read_xlsx

        return read_xlsx(path, options, log)
    if container == "csv":
        return read_csv(path, options, log, delimiter=delimiter or ",")
    return read_json(path) if container == "json" else read_jsonl(path)


def _rows(meaning: Meaning, options: FormatOptions) -> Iterator[SourceRow]:
    used = set(meaning.fields.values())
    for line, value, issue, warnings in meaning.records:
        if issue is not None:
            yield SourceRow(line, None, [issue])
            continue
        found = Findings(line)
        found.issues.extend(warnings)
        if isinstance(value, dict):
            check_marks(found, value, "", used)
            row = make_row(found, meaning.shape, meaning.fields, value, options)
        else:
            row = None
            found.add("not_an_object", "", found="bare value")
        yield SourceRow(line, row, found.issues)
