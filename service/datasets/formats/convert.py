"""Conversion of any supported file to canonical JSON Lines, with all issues found."""

from __future__ import annotations

import tempfile
from array import array
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from service.datasets.checks.findings import Findings
from service.datasets.checks.issues import MAX_LISTED, Issue, IssueLog, make_issue
from service.datasets.checks.labels import LabelsSeen
from service.datasets.checks.rows import check_row
from service.datasets.checks.validate import ValidationReport, make_report, validate_file
from service.datasets.contract import ConvertResult
from service.datasets.digest import DigestWriter
from service.datasets.facts import RowFormat
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.source import Source, SourceRow, open_source
from service.datasets.limits import MAX_LINE_BYTES, MAX_NESTING
from service.datasets.parallel import map_ordered
from service.datasets.rows.canonical import canonical_block, canonical_row, encode
from service.datasets.rows.lines import content_start, line_ranges
from service.datasets.rows.raw_json import exceeded_limit

# Few enough bytes for the pipe between two processes.
_RANGE_BYTES = 1024 * 1024


class Prepared(NamedTuple):
    """A conversion result, with the source line of each canonical row (`lines[i]`, from 1)."""

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
            Path(path),
            part,
            options or FormatOptions(),
            processes=processes,
            max_issues=max_issues,
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
                labels.look(data)
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
            labels.look(data)
            writer.write_row(data, row.line)
    labels.check(log)
    if rows == 0:
        log.add(make_issue("empty_file"))
    return make_report(row_format, source.facts.bytes, rows, len(lines), log)


def checked_line(row: SourceRow, row_format: RowFormat) -> tuple[bytes | None, list[Issue]]:
    """Return the row's canonical line, or None if it has errors, and the row's issues."""
    found = Findings(row.line)
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
