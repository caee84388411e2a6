"""Reads a file of any supported format, and writes its rows as canonical JSON Lines."""

from __future__ import annotations

import re
import tempfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import msgspec

from service.datasets.checks.issues import (
    MAX_LISTED,
    DatasetError,
    Issue,
    IssueLog,
    RowIssues,
    make_issue,
    printable,
    refuse,
)
from service.datasets.checks.negative_labels import LabelsSeen, check_negative_fields, unused_code
from service.datasets.checks.rows import check_row
from service.datasets.checks.validate import ValidationReport, make_report, validate_file
from service.datasets.contract.tasks import ConvertResult
from service.datasets.formats.chat_texts import read_text_chat, text_chat
from service.datasets.formats.columns import ColumnMeaning, interpret_columns, sample_records
from service.datasets.formats.csv_records import read_csv
from service.datasets.formats.decompression import (
    archive_of,
    compression_of,
    extract,
    several_files,
    unpack,
)
from service.datasets.formats.detect import binary_container, text_container
from service.datasets.formats.documents import (
    DocumentText,
    document_kind,
    extract_text,
    page_kind,
)
from service.datasets.formats.faq_texts import find_pairs
from service.datasets.formats.json_records import read_json, read_jsonl
from service.datasets.formats.mailboxes import is_mailbox, read_mailbox
from service.datasets.formats.markup_values import database_rows, page_value, structured_values
from service.datasets.formats.options import (
    Container,
    FormatOptions,
    Record,
    RowFormat,
    SourceFacts,
    row_format_of,
)
from service.datasets.formats.shapes import is_known, make_row
from service.datasets.formats.table_layout import TableHead
from service.datasets.formats.text_records import read_text
from service.datasets.formats.transcode import to_utf8, with_newlines
from service.datasets.limits import MAX_LINE_BYTES, MAX_NESTING
from service.datasets.output import DigestWriter
from service.datasets.parallel import map_ordered
from service.datasets.passages import decode_document, extract_page_text
from service.datasets.rows.canonical import canonical_block, canonical_row, encode
from service.datasets.rows.lines import content_start, exceeded_limit, line_ranges

_SHOWN_PAGES = 50
_MAX_LAYERS = 3  # such as a gzip file in a TAR archive that is compressed with gzip


class SourceRow(NamedTuple):
    """An unchecked row in one of the row formats, or the issues that prevent one."""

    line: int
    value: Any
    issues: list[Issue]


class Unpacked(NamedTuple):
    """An unpacked file, and the compressions and archives that it was in."""

    path: Path
    compression: str | None


class OpenedFile(NamedTuple):
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
    meaning = _interpret(opened, options, log)
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
    text = opened.path if is_already_canonical(opened, meaning, options) else None
    rows = (to_source_row(record, meaning, options) for record in meaning.records)
    return Source(facts, rows, text)


def _interpret(opened: OpenedFile, options: FormatOptions, log: IssueLog) -> ColumnMeaning:
    sample = sample_records(read_records(opened, options, log), opened.container, options)
    return interpret_columns(sample, options, log)


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
            members = extract(path, unpacked, kind, options, log)
            if len(members) > 1:
                unpacked = _join_members(members, work, options, log)
        packed.append(kind)
        path = unpacked
    return Unpacked(path, "+".join(packed) or None)


_SPLIT = re.compile(
    r"(?<![a-z])(?:train|test|valid|val|dev|eval|holdout)(?![a-su-z])", re.IGNORECASE
)


def _join_members(
    members: Mapping[str, Path], work: Path, options: FormatOptions, log: IssueLog
) -> Path:
    """Join the rows of the files of an archive, if their rows are of one shape.

    Raises DatasetError if none has rows, if their shapes or purposes differ, or if a row is
    unreadable.
    """
    found: dict[str, tuple[ColumnMeaning, IssueLog]] = {}
    error = several_files(members)
    for at, (name, path) in enumerate(members.items()):
        folder, own = work / f"member-{at}", IssueLog(log.limit)
        folder.mkdir()
        try:
            opened = open_container(path, folder, options, own)
            found[name] = _interpret(opened, options, own), own
        except DatasetError as e:
            error = e if e.issue.code not in ("unknown_columns", "unknown_format") else error
    if not found:
        raise error
    if len(members) > len(found):
        log.add(make_issue("other_files", count=len(members) - len(found)))
    if len(found) == 1:
        return members[next(iter(found))]
    if len({meaning.shape for meaning, _ in found.values()}) > 1 or any(
        _SPLIT.search(PurePosixPath(name).stem) for name in found
    ):
        raise several_files(found)
    with (work / "joined").open("wb") as target:
        for meaning, own in found.values():
            for line, value, issue, warnings in meaning.records:
                own.extend(warnings)
                if issue is not None and issue.severity == "error":
                    raise DatasetError(issue)
                if issue is not None:
                    own.add(issue)
                elif isinstance(value, dict):
                    named = {field: value.get(name) for field, name in meaning.fields.items()}
                    row = value if meaning.shape == "reinforcement" else named
                    target.write(encode(row) + b"\n")
                else:
                    raise refuse("not_an_object", line, found="bare value")
            log.merge(own.issues, own.counts)
    return work / "joined"


def open_container(path: Path, work: Path, options: FormatOptions, log: IssueLog) -> OpenedFile:
    """Detect the container of an unpacked file, and transcode text into `work` if necessary.

    Raises DatasetError if the container is unknown, or the encoding does not match the text.
    """
    container = binary_container(path)
    if container == "arrow":
        from service.datasets.formats.parquet_records import convert_arrow

        convert_arrow(path, work / "arrow.parquet")
        return OpenedFile(work / "arrow.parquet", "parquet")
    if container == "sqlite":
        return _opened_value(database_rows(path), work)
    if container == "document":
        return _open_document(path, work, options, log)
    if container is not None:
        return OpenedFile(path, container)
    if is_mailbox(path):  # each part of an e-mail has its own encoding
        return OpenedFile(path, "text")
    text = to_utf8(path, work / "text", options, log)
    path = with_newlines(text.path, work / "lines")
    if options.container is None and options.shape != "text":
        others = []
        for kind, value in structured_values(path):
            opened = _opened_value(value or [], work, text.encoding)
            if value and (kind is None or options.columns or _has_rows(opened, options)):
                return opened
            others.append(kind)
        if others and others[0] is not None and not options.is_document:
            raise refuse("document", kind=others[0])
    container, delimiter = _text_container(path, options)
    return OpenedFile(path, container, text.encoding, delimiter, text.sample)


def _open_document(path: Path, work: Path, options: FormatOptions, log: IssueLog) -> OpenedFile:
    """Write the text of a document, such as a PDF or an HTML page, or its questions and answers."""
    kind = document_kind(path)
    if kind is None:
        data = path.read_bytes()
        if (part := page_kind(data)) is not None:
            raise refuse("document", kind=part)
        page = decode_document(data, options.encoding)
        found = DocumentText(page or "", is_html=True)
    else:
        found = extract_text(path, kind)
        if kind == "pdf" and (pages := found.empty_pages()):
            listed = ", ".join(map(str, pages[:_SHOWN_PAGES])) + ", …" * (len(pages) > _SHOWN_PAGES)
            log.add(make_issue("pages_without_text", count=len(pages), pages=listed))
    if options.shape in (None, "prompt_completion") and (
        rows := page_value(found.text) if found.is_html else find_pairs(found.text)
    ):
        return _opened_value(rows, work)
    text = extract_page_text(found.text).text if found.is_html else found.text
    (work / "text").write_text(text, "utf-8", newline="\n")
    return OpenedFile(work / "text", "document")


def _opened_value(value: Any, work: Path, encoding: str | None = None) -> OpenedFile:
    """Write a value, or the rows of a list, as JSON."""
    rows = value if isinstance(value, list) else [value]
    (work / "value").write_bytes(b"".join(encode(row) + b"\n" for row in rows))
    return OpenedFile(work / "value", "json", encoding)


def _has_rows(opened: OpenedFile, options: FormatOptions) -> bool:
    """Return whether an XML or YAML document has rows, or something that the user must say."""
    try:
        _interpret(opened, options, IssueLog(0))
    except DatasetError as error:
        return error.issue.code not in ("unknown_columns", "not_an_object")
    return True


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
    opened: OpenedFile, options: FormatOptions, log: IssueLog, *, head: TableHead | None = None
) -> Iterator[Record]:
    """Read the records of an opened file. The first rows of a table are noted in `head`."""
    path = opened.path
    # The libraries for Parquet and workbooks take longer to import than most files take to read.
    match opened.container:
        case "parquet":
            from service.datasets.formats.parquet_records import read_parquet

            return read_parquet(path, options)
        case "xlsx" | "xls" | "ods":
            from service.datasets.formats.workbook_records import read_workbook

            return read_workbook(path, options, log, head=head)
        case "csv":
            return read_csv(path, options, log, delimiter=opened.delimiter or ",", head=head)
        case "json":
            return read_json(path, log)
        case "jsonl":
            return read_jsonl(path)
        case "document":
            return read_text(path)
        case "text" if options.shape != "text" and is_mailbox(path):
            return read_mailbox(path, options.roles)
        case "text":
            form = text_chat(path) if options.shape != "text" else None
            return read_text(path) if form is None else read_text_chat(path, form, options.roles)


def log_unused(meaning: ColumnMeaning, log: IssueLog) -> None:
    """Report the columns that are not used."""
    row_format = row_format_of(meaning.shape)
    for column in meaning.unused:
        log.add(make_issue(unused_code(column, row_format), column=column))


def is_already_canonical(
    opened: OpenedFile, meaning: ColumnMeaning, options: FormatOptions
) -> bool:
    """Return whether the file is JSON Lines in the row format, so that nothing is converted."""
    as_is = opened.container == "jsonl" and meaning.is_canonical
    return as_is and not options.system and not options.roles


def to_source_row(record: Record, meaning: ColumnMeaning, options: FormatOptions) -> SourceRow:
    """Convert a record to a row."""
    line, value, issue, warnings = record
    if issue is not None:
        return SourceRow(line, None, [issue])
    found = RowIssues(line)
    found.issues.extend(warnings)
    row = None
    if isinstance(value, dict):
        check_negative_fields(found, value, "", meaning.fields.values())
        if meaning.columns is not None and not value.keys() <= meaning.columns:
            for field in filter(is_known, sorted(value.keys() - meaning.columns)):
                found.add("late_field", "", field=printable(field))
        row = make_row(found, meaning.shape, meaning.fields, value, options)
    else:
        found.add("not_an_object", "", found="bare value")
    return SourceRow(line, row, found.issues)


# Small enough for the pipe between two processes.
_RANGE_BYTES = 1024 * 1024


class Prepared(NamedTuple):
    """The result of a conversion. `lines` has the source line of each canonical row, from 1."""

    result: ConvertResult
    lines: array[int]


def convert(
    path: Path | str,
    out: Path | str,
    options: FormatOptions | None = None,
    *,
    processes: int = 1,
    max_issues: int = MAX_LISTED,
) -> ConvertResult:
    """Write the rows of `path`, in any supported format, to `out` as canonical JSON Lines.

    Rows with errors are omitted and reported in the result. Raises DatasetError if the file
    as a whole cannot be read, or if its rows exceed the size limit in `options`. Temporary
    copies are created in the folder of `out`.
    """
    target = Path(out)
    part = target.with_name(f".{target.name}.part")
    try:
        prepared = prepare(
            Path(path), part, options or FormatOptions(), processes=processes, max_issues=max_issues
        )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return prepared.result


def prepare(
    path: Path,
    out: Path,
    options: FormatOptions,
    *,
    processes: int = 1,
    max_issues: int = MAX_LISTED,
    only_errors: bool = False,
) -> Prepared:
    """Convert as `convert` does, and keep the source line of each row (four bytes per row).

    With `only_errors`, warnings are counted but not listed.
    """
    log = IssueLog(max_issues, only_errors=only_errors)
    lines = array("I")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".unpacked-") as work:
        source = open_source(path, Path(work), options, log)
        with DigestWriter(out, options.limit_bytes(source.facts.bytes)) as writer:
            if source.text is not None:
                report = _copy_lines(source, source.text, log, lines, writer, processes)
            else:
                report = _copy_rows(source, log, lines, writer)
    result = ConvertResult(source.facts, report, len(lines), writer.bytes, writer.sha256)
    return Prepared(result, lines)


def _copy_lines(
    source: Source,
    text: Path,
    log: IssueLog,
    lines: array[int],
    writer: DigestWriter,
    processes: int,
) -> ValidationReport:
    row_format = source.facts.row_format
    labels = LabelsSeen(row_format)
    found = validate_file(
        text,
        row_format=row_format,
        max_issues=log.limit,
        only_errors=log.only_errors,
        processes=processes,
    )
    log.merge(found.issues, found.counts)
    spans = line_ranges(text, start=content_start(text), range_bytes=_RANGE_BYTES)
    before = 0
    for block in map_ordered(
        partial(canonical_block, text, row_format), spans, processes=processes
    ):
        numbers = [number + before for number in block.lines]
        lines.extend(numbers)
        writer.write_rows(block.rows, numbers)
        if row_format == "labeled":
            for data in block.rows:
                labels.add(data)
        before += block.last_line
    labels.check(log)
    return make_report(row_format, source.facts.bytes, found.rows, len(lines), log)


def _copy_rows(
    source: Source, log: IssueLog, lines: array[int], writer: DigestWriter
) -> ValidationReport:
    row_format = source.facts.row_format
    labels = LabelsSeen(row_format)
    rows = 0
    for row in source.rows:
        rows += 1
        data, issues = checked_line(row, row_format)
        log.extend(issues)
        if data is not None:
            lines.append(row.line)
            labels.add(data)
            writer.write_row(data, row.line)
    labels.check(log)
    if rows == 0:
        log.add(make_issue("empty_file"))
    return make_report(row_format, source.facts.bytes, rows, len(lines), log)


def checked_line(row: SourceRow, row_format: RowFormat) -> tuple[bytes | None, list[Issue]]:
    """Return the row's canonical line, or None if it has errors, and the row's issues."""
    found = RowIssues(row.line)
    found.issues.extend(row.issues)
    if row.value is None:
        return None, found.issues
    if (issue := _unwritable(row.value)) is not None:
        found.issues.append(msgspec.structs.replace(issue, line=row.line))
        return None, found.issues
    check_row(found, row.value, row_format)
    if found.has_errors:
        return None, found.issues
    return encode(canonical_row(row.value, row_format)) + b"\n", found.issues


def _unwritable(value: Any) -> Issue | None:
    """Return the issue that prevents writing a value as JSON within the limits, or None."""
    try:
        data = encode(value)
    except UnicodeEncodeError as error:
        return make_issue("invalid_utf8", at=error.start + 1)
    except (TypeError, ValueError, OverflowError):
        return make_issue("invalid_json", reason="a value cannot be written as JSON")
    except RecursionError:
        return make_issue("nesting_too_deep", limit=MAX_NESTING)
    if len(data) > MAX_LINE_BYTES:
        return make_issue("line_too_long", limit=MAX_LINE_BYTES)
    return exceeded_limit(data)
