"""Errors that stop the processing of a whole file."""

from __future__ import annotations

from service.datasets.checks.issues import Issue, make_issue


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
