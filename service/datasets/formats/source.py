"""Opening of a file in any supported format, and reading its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from service.datasets.checks.findings import Findings
from service.datasets.checks.issues import Issue, IssueLog, make_issue, shown
from service.datasets.checks.marks import check_marks, unused_code
from service.datasets.errors import refuse
from service.datasets.facts import SourceFacts, row_format_of
from service.datasets.formats.archives import archive_of, extract
from service.datasets.formats.csv_records import read_csv
from service.datasets.formats.detect import binary_container, text_container
from service.datasets.formats.json_records import read_json, read_jsonl
from service.datasets.formats.meaning import Meaning, find_meaning, look_at
from service.datasets.formats.options import Container, FormatOptions
from service.datasets.formats.records import Record
from service.datasets.formats.shapes import is_known, make_row
from service.datasets.formats.table_layout import TableHead
from service.datasets.formats.text_records import read_text
from service.datasets.formats.transcode import to_utf8, with_newlines
from service.datasets.formats.unpack import compression_of, unpack

_MAX_LAYERS = 3  # such as a gzip file in a TAR archive that is compressed with gzip


class SourceRow(NamedTuple):
    """An unchecked row in one of the row formats, or the issues that prevent one."""

    line: int
    value: Any
    issues: list[Issue]


class Unpacked(NamedTuple):
    """What a file holds, and how it was packed."""

    path: Path
    compression: str | None


class Opened(NamedTuple):
    """An unpacked file, as UTF-8 if it is text.

    `sample` holds original lines that are not UTF-8.
    """

    path: Path
    container: Container
    encoding: str | None = None
    delimiter: str | None = None
    sample: Sequence[bytes] = ()


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
    unpacked = unpack_source(path, work, options, log)
    opened = open_container(unpacked.path, work, options, log)
    looked = look_at(read_records(opened, options, log), opened.container, options)
    meaning = find_meaning(looked, options, log)
    log_unused(meaning, log)
    facts = SourceFacts(
        bytes=path.stat().st_size,
        container=opened.container,
        compression=unpacked.compression,
        encoding=opened.encoding,
        delimiter=opened.delimiter,
        shape=meaning.shape,
        row_format=row_format_of(meaning.shape),
        columns=meaning.named,
        unused_columns=meaning.unused,
    )
    text = opened.path if is_as_it_was(opened, meaning, options) else None
    return Source(facts, _rows(meaning, options), text)


def unpack_source(path: Path, work: Path, options: FormatOptions, log: IssueLog) -> Unpacked:
    """Unpack a file, and an archive in it, into `work`. Raises DatasetError."""
    if path.stat().st_size == 0:
        raise refuse("empty_file")
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
    return Unpacked(path, "+".join(packed) or None)


def open_container(path: Path, work: Path, options: FormatOptions, log: IssueLog) -> Opened:
    """Detect the container of an unpacked file, and transcode text into `work` if necessary.

    Raises DatasetError if the container is unknown, or the encoding does not match the text.
    """
    container = binary_container(path)
    if container is not None:
        return Opened(path, container)
    text = to_utf8(path, work / "text", options, log)
    path = with_newlines(text.path, work / "lines")
    container, delimiter = _text_container(path, options)
    return Opened(path, container, text.encoding, delimiter, text.sample)


def _text_container(path: Path, options: FormatOptions) -> tuple[Container, str | None]:
    """Return the container and delimiter given by the user, or the detected ones."""
    container, delimiter = options.container, options.delimiter
    if container is None or (container == "csv" and delimiter is None):
        found, delimiter = text_container(path, is_document=options.is_document)
        container = container or found
    if container == "csv":
        return container, options.delimiter or delimiter or ","
    return container, None


def read_records(
    opened: Opened, options: FormatOptions, log: IssueLog, *, head: TableHead | None = None
) -> Iterator[Record]:
    """Read the records of an opened file. The first rows of a table are noted in `head`."""
    path = opened.path
    # The libraries for Parquet and XLSX take longer to import than most files take to read.
    match opened.container:
        case "parquet":
            from service.datasets.formats.parquet_records import read_parquet

            return read_parquet(path, options)
        case "xlsx":
            from service.datasets.formats.xlsx_records import read_xlsx

            return read_xlsx(path, options, log, head=head)
        case "csv":
            return read_csv(path, options, log, delimiter=opened.delimiter or ",", head=head)
        case "json":
            return read_json(path, log)
        case "jsonl":
            return read_jsonl(path)
        case "text":
            return read_text(path)


def log_unused(meaning: Meaning, log: IssueLog) -> None:
    """Report the columns that are not used."""
    row_format = row_format_of(meaning.shape)
    for column in meaning.unused:
        log.add(make_issue(unused_code(column, row_format), column=column))


def is_as_it_was(opened: Opened, meaning: Meaning, options: FormatOptions) -> bool:
    """Whether the file is JSON Lines already in the row format, so that nothing is converted."""
    as_is = opened.container == "jsonl" and meaning.is_canonical
    return as_is and not options.system and not options.roles


def _rows(meaning: Meaning, options: FormatOptions) -> Iterator[SourceRow]:
    return (as_row(record, meaning, options) for record in meaning.records)


def as_row(record: Record, meaning: Meaning, options: FormatOptions) -> SourceRow:
    """Make the row that a record means."""
    line, value, issue, warnings = record
    if issue is not None:
        return SourceRow(line, None, [issue])
    found = Findings(line)
    found.issues.extend(warnings)
    row = None
    if isinstance(value, dict):
        check_marks(found, value, "", meaning.fields.values())
        if meaning.columns is not None and not value.keys() <= meaning.columns:
            for field in filter(is_known, sorted(value.keys() - meaning.columns)):
                found.add("late_field", "", field=shown(field))
        row = make_row(found, meaning.shape, meaning.fields, value, options)
    else:
        found.add("not_an_object", "", found="bare value")
    return SourceRow(line, row, found.issues)
