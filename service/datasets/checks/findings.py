"""Collects what the checks find in one row."""

from __future__ import annotations

from service.datasets.checks.issues import Issue, Severity, make_issue


class Findings:
    """The issues of the row on `line`, in the order found."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.issues: list[Issue] = []

    def add(self, code: str, pointer: str, **detail: object) -> None:
        """Adds the issue of that code; `detail` fills its message."""
        self.issues.append(make_issue(code, self.line, pointer, **detail))

    @property
    def first_error(self) -> Issue | None:
        """The first issue that keeps the row from being trained on."""
        return next((i for i in self.issues if i.severity is Severity.ERROR), None)

    @property
    def has_errors(self) -> bool:
        """Whether the row cannot be trained on."""
        return self.first_error is not None
