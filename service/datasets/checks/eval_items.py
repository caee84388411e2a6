"""Check of a file with the purpose `evals`: JSON Lines of `{"item": {…}, "sample": {…}}`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.datasets.checks.issues import MAX_LISTED, Issue, IssueLog, make_issue
from service.datasets.checks.validate import ValidationReport, make_report
from service.datasets.formats.sniff import not_jsonl_kind
from service.datasets.limits import BATCH_BYTES, MAX_EVAL_ITEM_BYTES, MAX_EVAL_ITEMS
from service.datasets.rows.lines import FileSlice, LongLine, content_start, read_batches
from service.datasets.rows.raw_json import kind_of, parse


def check_eval_items(path: Path, *, max_issues: int = MAX_LISTED) -> ValidationReport:
    """Check each line of the file. Stops at the limit of items, so that time is bounded.

    Raises OSError if the file cannot be read.
    """
    log = IssueLog(max_issues)
    rows = valid_rows = 0
    kind = not_jsonl_kind(path)
    if kind is not None:
        log.add(make_issue("not_jsonl", 1, kind=kind))
    else:
        for number, line in eval_lines(path):
            if line is not None and not line.strip():
                log.add(make_issue("blank_line", number))
                continue
            rows += 1
            if rows > MAX_EVAL_ITEMS:
                log.add(make_issue("too_many_eval_items", number, limit=MAX_EVAL_ITEMS))
                break
            _, issue = parse_eval_item(line)
            valid_rows += issue is None
            if issue is not None:
                log.add(_placed(issue, number))
        if rows == 0:
            log.add(make_issue("empty_eval_file"))
    return make_report("evals", path.stat().st_size, rows, valid_rows, log)


def eval_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield the number and the bytes of each line, or None for a line over the size limit."""
    with FileSlice(path, content_start(path)) as stream:
        for batch in read_batches(
            stream, max_line_bytes=MAX_EVAL_ITEM_BYTES, batch_bytes=BATCH_BYTES
        ):
            if isinstance(batch, LongLine):
                yield batch.line, None
            else:
                yield from enumerate(batch.lines, batch.first_line)


def parse_eval_item(line: bytes | None) -> tuple[dict[str, Any], Issue | None]:
    """Parse a line from `eval_lines`. Returns the row, and an issue without a line number."""
    if line is None:
        return {}, make_issue("eval_item_too_long", limit=MAX_EVAL_ITEM_BYTES)
    row, issue = parse(line)
    if issue is None:
        issue = _fault(row)
    return ({}, issue) if issue is not None else (row, None)


def _fault(row: Any) -> Issue | None:
    if not isinstance(row, dict):
        return make_issue("not_an_object", found=kind_of(row))
    if not isinstance(row.get("item"), dict):
        return make_issue("no_eval_item", pointer="/item")
    if row.get("sample") is not None and not isinstance(row["sample"], dict):
        return make_issue("eval_sample_not_an_object", pointer="/sample")
    return None


def _placed(issue: Issue, line: int) -> Issue:
    return Issue(issue.severity, issue.code, line, issue.pointer, issue.message, issue.fix)
