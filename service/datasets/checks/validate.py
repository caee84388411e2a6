"""Validates training files and files of eval items line by line, in bounded memory.

Typed decoders check each line. Only lines that they reject get the detailed checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from service.datasets.checks.issues import (
    MAX_LISTED,
    Issue,
    IssueLog,
    RowIssues,
    Severity,
    make_issue,
)
from service.datasets.checks.messages import check_order
from service.datasets.checks.rows import ROW_CHECKS
from service.datasets.formats.options import RowFormat
from service.datasets.limits import MAX_EVAL_ITEM_BYTES, MAX_EVAL_ITEMS, MAX_LINE_BYTES
from service.datasets.parallel import map_ordered
from service.datasets.rows.lines import (
    Batch,
    FileSlice,
    LongLine,
    content_start,
    kind_of,
    line_ranges,
    parse,
    read_batches,
    read_lines,
)
from service.datasets.rows.typed_rows import (
    AssistantMessage,
    ChatRow,
    LabeledRow,
    PreferenceRow,
    TextRow,
)

# Escapes that must occur in a batch before any of its lines can contain an escaped control
# character. Searching the batch is cheap compared to inspecting each string, and searching
# for a single byte is almost free.
_ESCAPES = (b"\\u00", b"\\b", b"\\f")
_TURN_MARKERS = (b"Human:", b"Assistant:", b"USER:", b"ASSISTANT:", b"Instruction:", b"Response:")
UNPLAIN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MARK = re.compile(
    rb"<(?:\||/?s>|<SYS|</SYS|(?:start|end)_of_turn>|\w{1,40}\|>|[be]os>|\xef\xbd\x9c)|\[/?INST\]"
    rb"|(?<!\\)(?:\\\\)*+\\(?:[bf]|u00[0-7])"
    rb'|(?:"|\\n)[ \\t]*(?:### )?(?:Human|Assistant|Instruction|Response):'
    rb"|(?<![A-Z0-9_])(?:USER|ASSISTANT):"
)
_chat = msgspec.json.Decoder(ChatRow).decode
_preference = msgspec.json.Decoder(PreferenceRow).decode
_labeled = msgspec.json.Decoder(LabeledRow).decode
_text = msgspec.json.Decoder(TextRow).decode


class _RegularOrders(dict[tuple[type, ...], bool]):
    """Caches whether messages of these types, in this order, form a regular conversation.

    Few orders occur in practice, so that checking one is a lookup. The cache is bounded, because a
    file can consist of orders that never repeat.
    """

    _MAX, _MAX_TURNS = 4_096, 64

    def __missing__(self, types: tuple[type, ...]) -> bool:
        roles = [_role(kind) for kind in types]
        orderly = AssistantMessage in types and not check_order(roles)
        if len(self) < self._MAX and len(types) <= self._MAX_TURNS:
            self[types] = orderly
        return orderly


_REGULAR_ORDERS = _RegularOrders()


class LineChecker:
    """Checks lines of one format, and records the counts and issues."""

    def __init__(self, row_format: RowFormat, issues: IssueLog) -> None:
        self.issues = issues
        self.rows = 0
        self.valid_rows = 0
        self._odd = _ODD[row_format]
        self._explain = ROW_CHECKS[row_format]

    def check(self, batch: Batch | LongLine) -> None:
        """Check each line of the batch."""
        if isinstance(batch, LongLine):
            self.rows += 1
            self.issues.add(make_issue("line_too_long", batch.line, limit=MAX_LINE_BYTES))
            return
        odd = self._odd(batch.lines)
        if _may_be_marked(batch.data) or _may_be_marked(batch.lines[0]):
            marked = (place for place, line in enumerate(batch.lines) if _MARK.search(line))
            odd = sorted({*odd, *marked})
        plain = len(batch.lines) - len(odd)
        self.rows += plain
        self.valid_rows += plain
        for place in odd:
            self._check_slowly(batch.first_line + place, batch.lines[place])

    def _check_slowly(self, number: int, line: bytes) -> None:
        if not line or line.isspace():
            self.issues.add(make_issue("blank_line", number))
            return
        self.rows += 1
        found = RowIssues(number)
        row, issue = parse(line)
        if issue is not None:
            self.issues.add(msgspec.structs.replace(issue, line=number))
            return
        self._explain(found, row)
        self.issues.extend(found.issues)
        self.valid_rows += not found.has_errors


def _may_be_marked(data: bytes) -> bool:
    return (
        b"<" in data
        or b"INST]" in data
        or any(marker in data for marker in _TURN_MARKERS)
        or (b"\\" in data and any(escape in data for escape in _ESCAPES))
    )


def _odd_chats(decode: Callable[[bytes], ChatRow | LabeledRow], lines: list[bytes]) -> list[int]:
    """Return the indexes of lines that are not plain chats or labeled chats.

    This loop runs half a million times for 300 MB. Calling a Python function in it would take a
    fifteenth more time.
    """
    odd: list[int] = []
    regular = _REGULAR_ORDERS
    for place, line in enumerate(lines):
        try:
            messages = decode(line).messages
        except UNPLAIN:
            odd.append(place)
            continue
        if regular[tuple(map(type, messages))]:
            for message in messages:
                if message.content.isspace():
                    odd.append(place)
                    break
        else:
            odd.append(place)
    return odd


def decode_plain_chat(line: bytes) -> ChatRow | None:
    """Return the typed row of a line whose structure passes every check.

    Returns None if the line needs the detailed checks. Raises what the decoder raises. This
    function does not look for special tokens or control characters in the text.
    """
    row = _chat(line)
    if not _REGULAR_ORDERS[tuple(map(type, row.messages))]:
        return None
    for message in row.messages:
        if message.content.isspace():
            return None
    return row


def _odd_rows(is_plain: Callable[[bytes], bool], lines: list[bytes]) -> list[int]:
    """Return the indexes of lines that are not plain, or that a typed decoder rejects."""
    odd: list[int] = []
    for place, line in enumerate(lines):
        try:
            if is_plain(line):
                continue
        except UNPLAIN:
            pass
        odd.append(place)
    return odd


def _is_plain_preference(line: bytes) -> bool:
    row = _preference(line)
    given, better, worse = row.input.messages, row.preferred_output, row.non_preferred_output
    if not better or not worse or better == worse or not given:
        return False
    roles = [_role(type(message)) for message in given]
    if roles[-1] == "assistant" or check_order(roles, ends_with_assistant=False):
        return False
    return not any(m.content.isspace() for part in (given, better, worse) for m in part)


def _is_plain_text(line: bytes) -> bool:
    return bool(_text(line).text.strip())


def _all_rows(lines: list[bytes]) -> list[int]:
    """Return all indexes: a row may have any fields, so there is no typed decoder."""
    return list(range(len(lines)))


_ODD: dict[RowFormat, Callable[[list[bytes]], list[int]]] = {
    "chat": partial(_odd_chats, _chat),
    "preference": partial(_odd_rows, _is_plain_preference),
    "labeled": partial(_odd_chats, _labeled),
    "text": partial(_odd_rows, _is_plain_text),
    "reinforcement": _all_rows,
}


def _role(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]


_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "a ZIP archive or a workbook"),
    (b"PAR1", "Parquet"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"%PDF", "PDF"),
)


def not_jsonl_kind(path: Path) -> str | None:
    """Return the kind of a file that cannot be JSON Lines, such as "Parquet", or None."""
    with path.open("rb") as file:
        head = file.read(4096)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        return "one JSON array"
    return None


# Small enough to distribute evenly, large enough that the distribution costs nothing.
_RANGE_BYTES = 16 * 1024 * 1024


class ValidationReport(msgspec.Struct, frozen=True):
    """Result of a validation. `counts` includes every issue, even if `issues` is capped."""

    format: Annotated[str, Meta(description="Format of the rows.")]
    bytes: Annotated[int, Meta(description="Size of the file in bytes.")]
    rows: Annotated[int, Meta(description="Number of rows.")]
    valid_rows: Annotated[int, Meta(description="Number of rows that can be trained on.")]
    errors: Annotated[int, Meta(description="Number of errors.")]
    warnings: Annotated[int, Meta(description="Number of warnings.")]
    counts: Annotated[Mapping[str, int], Meta(description="Number of all issues, by code.")]
    issues: Annotated[
        tuple[Issue, ...], Meta(description="Issues found. Capped; `counts` has all.")
    ]

    @property
    def ok(self) -> bool:
        """Whether the file has rows and every row can be trained on."""
        return self.errors == 0


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


def validate_file(
    path: Path | str,
    *,
    row_format: RowFormat = "chat",
    max_issues: int = MAX_LISTED,
    only_errors: bool = False,
    processes: int = 1,
) -> ValidationReport:
    """Check a JSONL file of one row format.

    With `only_errors`, warnings are counted but not listed. `processes` above 1 forks, so it
    requires a single-threaded process, such as the child `python -m service.datasets`. Raises
    OSError if the file cannot be read; its contents never cause an exception.
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
            log.merge((_shift_line(issue, lines) for issue in part.issues), part.counts)
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


def _shift_line(issue: Issue, lines: int) -> Issue:
    if not lines or issue.line is None:
        return issue
    return msgspec.structs.replace(issue, line=issue.line + lines)


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
                log.add(msgspec.structs.replace(issue, line=number))
        if rows == 0:
            log.add(make_issue("empty_eval_file"))
    return make_report("evals", path.stat().st_size, rows, valid_rows, log)


def eval_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield the number and the bytes of each line, or None for an item over the size limit."""
    return read_lines(path, max_line_bytes=MAX_EVAL_ITEM_BYTES)


def parse_eval_item(line: bytes | None) -> tuple[dict[str, Any], Issue | None]:
    """Parse a line from `eval_lines`. Returns the row, and an issue without a line number."""
    if line is None:
        return {}, make_issue("eval_item_too_long", limit=MAX_EVAL_ITEM_BYTES)
    row, issue = parse(line)
    if issue is None:
        issue = _eval_item_issue(row)
    return ({}, issue) if issue is not None else (row, None)


def _eval_item_issue(row: Any) -> Issue | None:
    if not isinstance(row, dict):
        return make_issue("not_an_object", found=kind_of(row))
    if not isinstance(row.get("item"), dict):
        return make_issue("no_eval_item", pointer="/item")
    if row.get("sample") is not None and not isinstance(row["sample"], dict):
        return make_issue("eval_sample_not_an_object", pointer="/sample")
    return None
