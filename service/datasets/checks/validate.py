"""Line-by-line validation of a training file, in bounded memory, on one or more cores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from service.datasets.checks.issues import MAX_LISTED, Issue, IssueLog, Severity, make_issue
from service.datasets.checks.lines import LineChecker
from service.datasets.facts import RowFormat
from service.datasets.formats.sniff import not_jsonl_kind
from service.datasets.parallel import map_ordered
from service.datasets.rows.lines import FileSlice, content_start, line_ranges, read_batches

# Small enough to distribute evenly, large enough that the distribution costs nothing.
_RANGE_BYTES = 16 * 1024 * 1024


class ValidationReport(msgspec.Struct, frozen=True):
    """Result of a validation. `counts` includes every issue, even if `issues` is capped."""

    format: str
    bytes: int
    rows: int
    valid_rows: int
    errors: int
    warnings: int
    counts: Mapping[str, int]
    issues: tuple[Issue, ...]

    @property
    def ok(self) -> bool:
        """Whether the file has rows and every row can be trained on."""
        return self.errors == 0

    def to_dict(self) -> dict[str, object]:
        """Return the report as plain JSON values."""
        built: dict[str, object] = msgspec.json.decode(msgspec.json.encode(self))
        return built


class _Range(NamedTuple):
    """A part of the file to check."""

    path: Path
    row_format: RowFormat
    max_issues: int
    only_errors: bool
    begin: int
    end: int


class _Part(msgspec.Struct, frozen=True):
    """Result for one byte range, whose lines count from 1."""

    lines: int
    rows: int
    valid_rows: int
    issues: list[Issue]
    counts: dict[str, int]


def validate_chat_file(
    path: Path | str,
    *,
    purpose: str = "fine-tune",
    max_issues: int = MAX_LISTED,
    processes: int = 1,
) -> ValidationReport:
    """Check a chat JSONL file.

    Raises OSError if the file cannot be read. Its contents never cause an exception. With a
    `purpose` other than fine-tune, the file is not training data, so only its size is
    reported. `processes` above 1 forks, so use it only in a single-threaded process (the
    child started by `python -m service.datasets`), not in a server.
    """
    if purpose != "fine-tune":
        size = Path(path).stat().st_size
        return ValidationReport("any", size, 0, 0, 0, 0, {}, ())
    return validate_file(path, row_format="chat", max_issues=max_issues, processes=processes)


def validate_file(
    path: Path | str,
    *,
    row_format: RowFormat,
    max_issues: int = MAX_LISTED,
    only_errors: bool = False,
    processes: int = 1,
) -> ValidationReport:
    """Check a JSONL file of one row format; see `validate_chat_file`.

    With `only_errors`, warnings are counted but not listed.
    """
    path = Path(path)
    log = IssueLog(max_issues, only_errors=only_errors)
    rows = valid_rows = lines = 0
    kind = not_jsonl_kind(path)
    start = content_start(path)
    if kind is not None:
        log.add(make_issue("not_jsonl", 1, kind=kind))
    else:
        if start:
            log.add(make_issue("utf8_bom", 1))
        tasks = [
            _Range(path, row_format, max_issues, only_errors, begin, end)
            for begin, end in line_ranges(path, start=start, range_bytes=_RANGE_BYTES)
        ]
        for part in map_ordered(_check_range, tasks, processes=processes):
            log.merge((_moved(issue, lines) for issue in part.issues), part.counts)
            lines += part.lines
            rows += part.rows
            valid_rows += part.valid_rows
        if rows == 0:
            log.add(make_issue("empty_file"))
    return make_report(row_format, path.stat().st_size, rows, valid_rows, log)


def make_report(
    row_format: str, size: int, rows: int, valid_rows: int, log: IssueLog
) -> ValidationReport:
    """Create a report from row counts and the issues in `log`."""
    totals = log.by_severity()
    return ValidationReport(
        format=row_format,
        bytes=size,
        rows=rows,
        valid_rows=valid_rows,
        errors=totals[Severity.ERROR],
        warnings=totals[Severity.WARNING],
        counts=log.counts,
        issues=tuple(log.issues),
    )


def _check_range(task: _Range) -> _Part:
    log = IssueLog(task.max_issues, only_errors=task.only_errors)
    checker = LineChecker(task.row_format, log)
    lines = 0
    with FileSlice(task.path, task.begin, task.end) as stream:
        for batch in read_batches(stream):
            checker.check(batch)
            lines = batch.last_line
    return _Part(lines, checker.rows, checker.valid_rows, log.issues, log.counts)


def _moved(issue: Issue, lines: int) -> Issue:
    if not lines or issue.line is None:
        return issue
    return msgspec.structs.replace(issue, line=issue.line + lines)
