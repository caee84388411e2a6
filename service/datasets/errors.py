"""What stops the work on a whole file."""

from __future__ import annotations

from service.datasets.checks.issues import Issue, make_issue


class DatasetError(ValueError):
    """The file, or what was asked of it, cannot be used; `issue` says why and how to mend it."""

    def __init__(self, issue: Issue) -> None:
        where = f"line {issue.line}{issue.pointer}: " if issue.line is not None else ""
        super().__init__(f"{where}{issue.message} {issue.fix}")
        self.issue = issue

    def __reduce__(self) -> tuple[type[DatasetError], tuple[Issue]]:
        """As it must be to come out of another process."""
        return type(self), (self.issue,)


def refuse(code: str, line: int | None = None, **detail: str | int) -> DatasetError:
    """The error of that code, to be raised."""
    return DatasetError(make_issue(code, line, "", **detail))
