"""A record: the raw value of one row of a file, before it is interpreted."""

from __future__ import annotations

from typing import Any, NamedTuple

from service.datasets.checks.issues import Issue


class Record(NamedTuple):
    """One row: its line or row number (from 1), and its value or why it could not be read.

    `warnings` apply to a row that could be read.
    """

    line: int
    value: Any
    issue: Issue | None = None
    warnings: tuple[Issue, ...] = ()
