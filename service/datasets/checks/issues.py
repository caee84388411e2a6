"""What can be wrong with a data set, as data: every check has a code, a severity and a mend.

An `Issue` never carries training text. It names fields, and shows a role or a field name
that does not belong there, cut to 32 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from service.datasets.checks.table import CHECKS

MAX_LISTED = 1_000
_SHOWN_CHARS = 32
_READ_CHARS = 256
# An address or a number where a name is expected: a table without a header row has the
# data of its first row as the names of its columns.
_PRIVATE = re.compile(r"\S*[@＠]\S*|\d(?:[\s().\-－−]{0,2}\d){5,}|[A-Z]{5}\d{4}[A-Z]")


class Severity(StrEnum):
    """`error`: the row cannot be trained on. `warning`: it can, but look at it."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Issue(msgspec.Struct, frozen=True):
    """One finding. `line` counts from 1 (None: the whole file); `pointer` is RFC 6901."""

    severity: Severity
    code: str
    line: int | None
    pointer: str
    message: str
    fix: str


def shown(value: object) -> str:
    """A name that came with the data, safe to print: one line, at most 32 characters.

    Addresses and long numbers in it are left out.
    """
    text = value if isinstance(value, str) else type(value).__name__
    text = _PRIVATE.sub("…", text[:_READ_CHARS])
    cut = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
    return "".join(c if c.isprintable() else "�" for c in cut)


def make_issue(code: str, line: int | None = None, pointer: str = "", **detail: object) -> Issue:
    """The issue of that code; `detail` fills the braces of the check's message."""
    check = CHECKS[code]
    return Issue(
        severity=Severity(check.severity),
        code=code,
        line=line,
        pointer=pointer,
        message=check.message.format(**detail),
        fix=check.fix,
    )


class IssueLog:
    """Collects issues: the first `limit` whole, all of them counted by code.

    A file of ten million broken rows must not fill memory, yet its counts must be true.
    """

    def __init__(self, limit: int = MAX_LISTED, *, only_errors: bool = False) -> None:
        self.limit = limit
        self.only_errors = only_errors  # counts all, lists errors
        self.issues: list[Issue] = []
        self.counts: dict[str, int] = {}

    def add(self, issue: Issue) -> None:
        """Counts one issue, and keeps it while there is room."""
        self.counts[issue.code] = self.counts.get(issue.code, 0) + 1
        if len(self.issues) < self.limit and not (
            self.only_errors and issue.severity is not Severity.ERROR
        ):
            self.issues.append(issue)

    def extend(self, issues: Iterable[Issue]) -> None:
        """Adds each."""
        for issue in issues:
            self.add(issue)

    def merge(self, issues: Iterable[Issue], counts: Mapping[str, int]) -> None:
        """Takes in another log's issues (capped there too) and its true counts."""
        room = self.limit - len(self.issues)
        self.issues.extend(list(issues)[: max(room, 0)])
        for code, count in counts.items():
            self.counts[code] = self.counts.get(code, 0) + count

    def by_severity(self) -> dict[Severity, int]:
        """How many issues of each severity, counted before the cap."""
        return by_severity(self.counts)


def by_severity(counts: Mapping[str, int]) -> dict[Severity, int]:
    """How many issues of each severity there are, from how many there are of each code."""
    totals = dict.fromkeys(Severity, 0)
    for code, count in counts.items():
        totals[Severity(CHECKS[code].severity)] += count
    return totals
