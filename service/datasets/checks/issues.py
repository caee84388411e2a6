"""Types of issues in data sets. Every issue has a code, a severity, and a suggested fix.

An `Issue` never carries training text. It names fields, and may show an unexpected role or
field name, truncated to 32 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from service.datasets.checks.issue_codes import CHECKS

MAX_LISTED = 1_000
_SHOWN_CHARS = 32
_READ_CHARS = 256
# Matches an email address or a long number in place of a name. In a table without a header
# row, the data of the first row is taken for the column names.
_PRIVATE = re.compile(r"\S*[@＠]\S*|\d(?:[\s().\-－−]{0,2}\d){5,}|[A-Z]{5}\d{4}[A-Z]")


class Severity(StrEnum):
    """Severity of an issue.

    `error`: the row cannot be trained on. `warning`: the row can be trained on, but should be
    reviewed.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


_SEVERITIES = {str(severity): severity for severity in Severity}  # faster than a call


class Issue(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem found in a data set.

    `line` counts from 1 and is null if the issue concerns the whole file. `pointer` is an
    RFC 6901 JSON Pointer. If the issue concerns a pair of rows, `other_line` is the line of the
    other row, and `similarity` their similarity from 0 to 1, if it was measured. `figures` are the
    numbers and names in the message, so that a program can show it in another language.
    """

    severity: Annotated[Severity, Meta(description="Severity of the issue.")]
    code: Annotated[str, Meta(description="Machine-readable code of the issue.")]
    line: Annotated[
        int | None,
        Meta(description="Line number, starting at 1; null if the issue concerns the whole file."),
    ]
    pointer: Annotated[str, Meta(description="RFC 6901 JSON Pointer to the value in the row.")]
    message: Annotated[str, Meta(description="What is wrong.")]
    fix: Annotated[str, Meta(description="Suggested fix.")]
    other_line: Annotated[
        int | None,
        Meta(description="Line number of the other row, if the issue concerns a pair of rows."),
    ] = None
    similarity: Annotated[
        float | None,
        Meta(description="Similarity of the two rows from 0 to 1, if it was measured."),
    ] = None
    figures: Annotated[
        dict[str, int | float | str] | None,
        Meta(description="Numbers and names in the message, by name."),
    ] = None


def printable(value: object) -> str:
    """Return a name taken from the data in a form that is safe to print.

    The result is one line of at most 32 characters, without email addresses and long numbers.
    """
    text = value if isinstance(value, str) else type(value).__name__
    text = _PRIVATE.sub("…", text[:_READ_CHARS])
    cut = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
    return "".join(c if c.isprintable() else "�" for c in cut)


def make_issue(code: str, line: int | None = None, pointer: str = "", **detail: object) -> Issue:
    """Create an issue with the given code. `detail` fills in its message.

    For a pair of rows, `detail` has the line of the `other` row and their `similarity`.
    """
    check = CHECKS[code]
    other, similarity = detail.get("other"), detail.get("similarity")
    return Issue(
        severity=_SEVERITIES[check.severity],
        code=code,
        line=line,
        pointer=pointer,
        message=check.message.format(**detail),
        fix=check.fix,
        other_line=other if isinstance(other, int) else None,
        similarity=similarity if isinstance(similarity, float) else None,
        figures={name: _figure(value) for name, value in detail.items()} or None,
    )


def _figure(value: object) -> int | float | str:
    return value if isinstance(value, int | float) else str(value)


class IssueLog:
    """Collects issues: keeps the first `limit` of them and counts all of them by code.

    A file with ten million broken rows must not fill memory, but its counts must be exact. With a
    `code_limit`, a frequent code leaves room for the others.
    """

    def __init__(
        self, limit: int = MAX_LISTED, *, code_limit: int | None = None, only_errors: bool = False
    ) -> None:
        self.limit = limit
        self.code_limit = limit if code_limit is None else code_limit
        self.only_errors = only_errors  # counts every issue, but keeps only errors
        self.issues: list[Issue] = []
        self.counts: dict[str, int] = {}

    def add(self, issue: Issue) -> None:
        """Count one issue, and keep it if the limit is not reached."""
        count = self.counts[issue.code] = self.counts.get(issue.code, 0) + 1
        if (
            len(self.issues) < self.limit
            and count <= self.code_limit
            and not (self.only_errors and issue.severity is not Severity.ERROR)
        ):
            self.issues.append(issue)

    def extend(self, issues: Iterable[Issue]) -> None:
        """Add each issue."""
        for issue in issues:
            self.add(issue)

    def merge(self, issues: Iterable[Issue], counts: Mapping[str, int]) -> None:
        """Add another log's issues, which may be capped, and its exact counts."""
        room = self.limit - len(self.issues)
        self.issues.extend(list(issues)[: max(room, 0)])
        for code, count in counts.items():
            self.counts[code] = self.counts.get(code, 0) + count

    def by_severity(self) -> dict[Severity, int]:
        """Return the number of issues of each severity, including those not kept."""
        return by_severity(self.counts)


def by_severity(counts: Mapping[str, int]) -> dict[Severity, int]:
    """Return the number of issues of each severity, given the number of each code."""
    totals = dict.fromkeys(Severity, 0)
    for code, count in counts.items():
        totals[Severity(CHECKS[code].severity)] += count
    return totals


class RowIssues:
    """Issues of the row on `line`, in the order found."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.issues: list[Issue] = []

    def add(self, code: str, pointer: str, **detail: object) -> None:
        """Add an issue with the given code; `detail` fills in its message."""
        self.issues.append(make_issue(code, self.line, pointer, **detail))

    @property
    def first_error(self) -> Issue | None:
        """First error of the row, or None if the row can be trained on."""
        return next((i for i in self.issues if i.severity is Severity.ERROR), None)

    @property
    def has_errors(self) -> bool:
        """Whether the row cannot be trained on."""
        return self.first_error is not None


class DatasetError(ValueError):
    """The file or the request is unusable; `issue` gives the reason and a suggested fix."""

    def __init__(self, issue: Issue) -> None:
        where = f"line {issue.line}{issue.pointer}: " if issue.line is not None else ""
        super().__init__(f"{where}{issue.message} {issue.fix}")
        self.issue = issue

    def __reduce__(self) -> tuple[type[DatasetError], tuple[Issue]]:
        """Support pickling, so that the error can be returned from another process."""
        return type(self), (self.issue,)


def refuse(code: str, line: int | None = None, **detail: str | int) -> DatasetError:
    """Create the error with the given code, for the caller to raise."""
    return DatasetError(make_issue(code, line, "", **detail))


def pointer_to(base: str, key: str | int) -> str:
    """Return the JSON Pointer of a child. Keys are data, so they are sanitized and truncated."""
    return f"{base}/{printable(str(key)).replace('~', '~0').replace('/', '~1')}"
