"""A record: what one row of a file says, before anyone asks what it means."""

from __future__ import annotations

from typing import Any, NamedTuple

from service.datasets.checks.issues import Issue


class Record(NamedTuple):
    """One row: its line (or row number, from 1), its value, or why it could not be read.

    `warnings` are on a row that could be read.
    """

    line: int
    value: Any
    issue: Issue | None = None
    warnings: tuple[Issue, ...] = ()
