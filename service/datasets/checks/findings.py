"""Collection of the issues found in one row."""

from __future__ import annotations

from service.datasets.checks.issues import Issue, Severity, make_issue


class Findings:
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
